/** Real rows to begin from. */

import { element } from "./elements.js";
/**
 * Rows that show the whole range: the least, the quarters and the greatest by what is true of
 * them, or by what is predicted where the truth is not known.
 *
 * @param {any} examples - `{ instances, predictions, truths }`
 * @returns {{ title: string, instance: any, truth: number | null }[]}
 */
export function presets(examples) {
  const by = examples.truths ?? examples.predictions;
  const order = [...by.keys()].sort((a, b) => by[a] - by[b]);
  const places = [["lowest", 0], ["lower quarter", 0.25], ["middle", 0.5], ["upper quarter", 0.75], ["highest", 1]];
  return places.map(([title, share]) => {
    const index = order[Math.round(share * (order.length - 1))];
    return { title, instance: examples.instances[index], truth: examples.truths?.[index] ?? null };
  });
}

/**
 * The choice of a row.
 *
 * @param {import("./subject.js").Subject} subject
 * @param {import("./row.js").Row} row
 * @returns {{ node: HTMLElement, truth: () => number | null }} The truth of the row chosen, for
 *     so long as it is unchanged.
 */
export function presetChoice(subject, row) {
  /** @type {any} */
  let chosen = null;
  let examples = null;
  const buttons = element("div", { class: "presets", role: "group", "aria-label": "Begin from" });
  const choose = (preset) => {
    chosen = preset;
    row.replace(preset.instance);
  };
  const button = (title, act) => buttons.append(element("button", { type: "button", class: "chip", onclick: act }, title));
  button("typical values", () => choose({ instance: {}, truth: null }));
  subject.examples().then((found) => {
    if (!found?.instances?.length) return;
    examples = found;
    buttons.append(element("span", { class: "note" }, `Real rows by ${subject.contract.target.name}:`));
    for (const preset of presets(found)) button(preset.title, () => choose(preset));
    button("any", () => {
      const index = Math.floor(Math.random() * examples.instances.length);
      choose({ instance: examples.instances[index], truth: examples.truths?.[index] ?? null });
    });
  });
  const same = () => chosen && Object.entries(chosen.instance).every(([name, it]) => row.values[name] === it);
  return { node: buttons, truth: () => (same() ? chosen.truth : null) };
}
