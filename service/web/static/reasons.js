/** Why the answer is what it is: what each feature adds to the mean, as bars. */

import { card, element, styled } from "./elements.js";
import { decimalsFor, fixed, signed } from "./numbers.js";

/**
 * @param {import("./subject.js").Subject} subject
 */
export function reasonsCard(subject) {
  const { target } = subject.contract;
  const decimals = decimalsFor(target.training.std || 1);
  const list = element("ul", { class: "reasons" });
  const base = element("p", { class: "note" });
  const unusual = element("p", { class: "warning", role: "status" });
  const node = card("Reasons", {}, list, base, unusual);
  node.hidden = true;

  return {
    node,
    /** @param {any} explanation - Or null where there is none. */
    show(explanation) {
      node.hidden = !explanation?.contributions;
      if (node.hidden) return;
      const parts = Object.entries(explanation.contributions).sort(([, a], [, b]) => Math.abs(b) - Math.abs(a));
      const largest = Math.max(...parts.map(([, it]) => Math.abs(it)), 1e-9);
      list.replaceChildren(...parts.map(([name, added]) => bar(name, added, largest, signed(added, decimals))));
      unusual.textContent = explanation.unusual ? "Unlike any training row: each value may be usual, but not all of them together." : "";
      base.textContent = `They add up from ${fixed(explanation.base, decimals)}, the mean ${target.name} of the training data, to this one${explanation.error ? `, within ${fixed(explanation.error, decimals)}` : ""}. ${target.unit ? `In ${target.unit}.` : ""}`;
    },
  };
}

/**
 * A line of a list of reasons.
 *
 * @param {string} name
 * @param {number} added - What the bar shows, to the right of the middle or to the left.
 * @param {number} largest - What fills its half.
 * @param {string} text - The number behind it.
 * @returns {HTMLElement}
 */
export function bar(name, added, largest, text) {
  const length = `${(Math.abs(added) / largest) * 50}%`;
  const fill = styled(element("span", { class: added < 0 ? "fill less" : "fill more" }), added < 0 ? { right: "50%", width: length } : { left: "50%", width: length });
  return element("li", {}, element("span", { class: "name" }, name), element("span", { class: "bar", "aria-hidden": "true" }, fill), element("span", { class: "number" }, text));
}
