/** The part "Try it": a row, its answer, its reasons, and the request as text. */

import { answerCard } from "./answer.js";
import { controls } from "./controls.js";
import { card, element } from "./elements.js";
import { latestOnly, settled } from "./latest.js";
import { withUnit } from "./numbers.js";
import { presetChoice } from "./presets.js";
import { reasonsCard } from "./reasons.js";
import { ServiceError } from "./service.js";
import { copied, snippets, snippetsCard } from "./snippets.js";

const ADDRESS_AFTER_MS = 250;

/**
 * @param {HTMLElement} root
 * @param {import("./page.js").Context} context
 * @returns {() => void} Leaves it.
 */
export function show(root, context) {
  const { subject, row } = context;
  const ask = latestOnly(() => price());
  const answer = answerCard(subject, () => ask());
  const reasons = reasonsCard(subject);
  const preset = presetChoice(subject, row);
  const request = snippetsCard(() => snippets(subject, row.instance, answer.level(), context.place));
  const keepAddress = settled(() => context.keepAddress(), ADDRESS_AFTER_MS);
  const said = element("span", { class: "note", role: "status" });
  const link = element("button", { type: "button", class: "quiet", onclick: () => { context.keepAddress(); copied(location.href, said); } }, "Copy a link to this");

  async function price() {
    const { instance, problem } = row;
    if (problem) {
      answer.fail(problem);
      reasons.show(null);
      return;
    }
    try {
      const [told] = await subject.predict([instance], { level: answer.level() });
      answer.show(told);
      context.noteVersion(told.version);
      // Reasons cost more than the answer: they wait until the hand rests.
      if (instance === row.instance || sameRow(instance, row.instance)) reasons.show(await subject.explain(instance));
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      answer.fail(error.message);
    }
  }
  function changed() {
    answer.tellTruth(preset.truth());
    request.update();
    keepAddress();
    said.textContent = "";
    ask();
  }
  row.addEventListener("change", changed);
  root.append(element("div", { class: "try" },
    card("", { class: "house", "aria-label": "The row" }, preset.node, controls(row), element("div", { class: "row" }, link, said)),
    element("div", { class: "side" }, answer.node, reasons.node, request.node, quality(subject))));
  changed();
  return () => row.removeEventListener("change", changed);
}

function sameRow(a, b) {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** How good it is, in one sentence. */
function quality({ contract }) {
  const test = contract.metrics?.test ?? {};
  const mae = test.network?.mae;
  if (mae === undefined) return null;
  const mean = test.mean?.mae === undefined ? "" : ` Always saying the mean would be wrong by ${test.mean.mae.toFixed(2)}.`;
  return element("p", { class: "note" }, `On rows it has never seen it is wrong by ${withUnit(mae.toFixed(2), contract.target.unit, " ")} in the mean.${mean}`);
}
