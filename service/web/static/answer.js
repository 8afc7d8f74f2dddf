/** The answer for a row: the value, its interval on the scale of the training data, and warnings. */

import { element, styled } from "./elements.js";
import { settled } from "./latest.js";
import { brief, decimalsFor, fixed, withUnit } from "./numbers.js";
import { strip } from "./strip.js";
import { usualLevel } from "./subject.js";

const SPOKEN_AFTER_MS = 700;

/**
 * @param {import("./subject.js").Subject} subject
 * @param {() => void} onLevel - Another level was chosen.
 */
export function answerCard(subject, onLevel) {
  const { target } = subject.contract;
  const decimals = decimalsFor(target.training.std || target.training.maximum - target.training.minimum);
  const value = element("span", { class: "value" }, "…");
  const interval = element("p", { class: "interval" });
  const message = element("p", { class: "message", role: "alert" });
  const truth = element("p", { class: "truth" });
  const spoken = element("p", { class: "hidden", "aria-live": "polite" });
  const picture = targetScale(target);
  const levels = levelChoice(subject.levels, onLevel);
  const speak = settled(() => { spoken.textContent = node.dataset.spoken ?? ""; }, SPOKEN_AFTER_MS);
  const node = element("section", { class: "card answer", "aria-label": `The ${target.name}` },
    element("div", { class: "headline" },
      element("p", { class: "price" }, value, " ", element("span", { class: "unit" }, target.unit)),
      interval),
    element("p", { class: "meaning" }, target.meaning),
    picture.node, truth, levels.node, message, spoken);

  return {
    node,
    level: levels.current,
    /** @param {import("./subject.js").Answer} answer */
    show(answer) {
      value.textContent = fixed(answer.value, decimals);
      const bounded = answer.lower !== null && answer.upper !== null;
      interval.textContent = bounded ? `${fixed(answer.lower, decimals)} to ${fixed(answer.upper, decimals)}` : "";
      interval.title = bounded ? `With ${Math.round(levels.current() * 100)} % certainty` : "";
      picture.show(answer);
      message.textContent = "";
      node.dataset.spoken = `${withUnit(`${target.name} ${value.textContent}`, target.unit, " ")}${bounded ? `, between ${interval.textContent}` : ""}`;
      node.classList.remove("stale");
      speak();
    },
    /** @param {string} text - What went wrong. */
    fail(text) {
      value.textContent = "–";
      interval.textContent = "";
      picture.hide();
      message.textContent = text;
    },
    /** @param {number | null} told - What is true of the row, if it is known. */
    tellTruth(told) {
      truth.textContent = told === null ? "" : `In truth: ${withUnit(brief(told), target.unit, " ")}`;
      picture.mark(told);
    },
  };
}

function targetScale(target) {
  const { minimum, maximum } = target.training;
  const beyond = (maximum - minimum || 1) / 20;
  const low = minimum - beyond;
  const high = maximum + beyond;
  const at = (value) => `${Math.min(100, Math.max(0, ((value - low) / (high - low)) * 100))}%`;
  const marker = element("span", { class: "marker" });
  const span = element("span", { class: "span" });
  const truth = element("span", { class: "truth-mark" });
  const node = element("div", { class: "scale" },
    element("div", { class: "bars" }, strip(target.training, low, high), span, truth, marker),
    element("div", { class: "ends", "aria-hidden": "true" }, element("span", {}, brief(minimum)), element("span", {}, "the training data"), element("span", {}, brief(maximum))));
  truth.hidden = true;
  return {
    node,
    show({ value, lower, upper }) {
      marker.hidden = false;
      styled(marker, { left: at(value) });
      span.hidden = lower === null || upper === null;
      if (!span.hidden) styled(span, { left: at(lower), width: `calc(${at(upper)} - ${at(lower)})` });
    },
    hide() { marker.hidden = span.hidden = true; },
    mark(value) {
      truth.hidden = value === null;
      if (value !== null) styled(truth, { left: at(value) });
    },
  };
}

function levelChoice(levels, onLevel) {
  let current = usualLevel(levels);
  if (levels.length < 2) return { node: null, current: () => current };
  const choices = levels.map((level) => {
    const box = element("input", { type: "radio", name: "level", value: level, checked: level === current });
    box.addEventListener("change", () => { current = level; onLevel(); });
    return element("label", {}, box, element("span", {}, `${Math.round(level * 1000) / 10} %`));
  });
  return { node: element("fieldset", { class: "choice" }, element("legend", {}, "Certainty of the interval"), element("div", { class: "choices" }, choices)), current: () => current };
}
