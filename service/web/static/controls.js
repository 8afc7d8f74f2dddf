/** The controls of a row: one a feature, with its range, unit, meaning and what is typical. */

import { element } from "./elements.js";
import { brief } from "./numbers.js";
import { isCategory, isOutside, mayBeMissing, scale, typical } from "./row.js";
import { strip } from "./strip.js";

// No category: those have "=" before them.
const MISSING = "missing";

/**
 * @param {import("./row.js").Row} row
 * @returns {HTMLElement}
 */
export function controls(row) {
  const parts = row.features.map((feature) => (isCategory(feature) ? category(row, feature) : number(row, feature)));
  const update = () => parts.forEach((it) => it.update());
  row.addEventListener("change", update);
  update();
  return element("form", { class: "controls", novalidate: true, onsubmit: (event) => event.preventDefault() }, parts.map((it) => it.node));
}

function number(row, feature) {
  const { low, high, step, decimals } = scale(feature);
  const id = `feature-${feature.name}`;
  const slider = element("input", { type: "range", id, name: feature.name, min: low, max: high, step, "aria-describedby": `${id}-note` });
  const box = element("input", {
    type: "number", inputmode: "decimal", step: "any", min: feature.minimum, max: feature.maximum,
    "aria-label": `${feature.name}${feature.unit ? ` in ${feature.unit}` : ""}`,
  });
  slider.addEventListener("input", () => row.set(feature.name, Number(Number(slider.value).toFixed(decimals))));
  box.addEventListener("input", () => row.set(feature.name, box.value === "" ? NaN : box.valueAsNumber));
  const unknown = unknownSwitch(row, feature);
  const note = element("p", { class: "note", id: `${id}-note` });
  const node = element("div", { class: "feature" },
    head(feature, id),
    element("div", { class: "entry" }, box, feature.unit && element("span", { class: "unit" }, feature.unit)),
    element("div", { class: "track" }, strip(feature.training, low, high), slider),
    note, unknown?.node);
  function update() {
    const value = row.values[feature.name];
    const known = typeof value === "number" && !Number.isNaN(value);
    slider.disabled = box.disabled = value === null;
    if (known) slider.value = String(value);
    // What is being typed stays as it is.
    if (document.activeElement !== box) box.value = known ? String(value) : "";
    slider.setAttribute("aria-valuetext", known ? `${value} ${feature.unit ?? ""}` : "not known");
    describe(note, feature, isOutside(feature, value));
    node.classList.toggle("outside", isOutside(feature, value));
    unknown?.update();
  }
  return { node, update };
}

function category(row, feature) {
  const id = `feature-${feature.name}`;
  const options = feature.categories.map((it) => element("option", { value: `=${it}` }, String(it)));
  if (mayBeMissing(feature)) options.push(element("option", { value: MISSING }, "not known"));
  const select = element("select", { id, name: feature.name, "aria-describedby": `${id}-note` }, options);
  select.addEventListener("change", () => {
    const chosen = select.value;
    row.set(feature.name, chosen === MISSING ? null : chosen.slice(1));
  });
  const other = element("option", {});
  const note = element("p", { class: "note", id: `${id}-note` });
  const node = element("div", { class: "feature category" }, head(feature, id), element("div", { class: "entry" }, select), note);
  function update() {
    const value = row.values[feature.name];
    const outside = isOutside(feature, value);
    // A link or a row may have a category that the model does not know.
    other.remove();
    if (outside) {
      other.value = `=${value}`;
      other.textContent = String(value);
      select.append(other);
    }
    select.value = value === null ? MISSING : `=${value}`;
    describeCategory(note, feature, value, outside);
    node.classList.toggle("outside", outside);
  }
  return { node, update };
}

function unknownSwitch(row, feature) {
  if (!mayBeMissing(feature)) return null;
  const box = element("input", { type: "checkbox" });
  box.addEventListener("change", () => row.set(feature.name, box.checked ? null : typical(feature)));
  const node = element("label", { class: "note switch" }, box, ` not known (counts as: ${feature.missing})`);
  return { node, update: () => { box.checked = row.values[feature.name] === null; } };
}

function head(feature, id) {
  const meaning = feature.meaning === feature.name ? "" : feature.meaning;
  return element("label", { for: id }, element("b", {}, feature.name), " ", element("span", { class: "meaning" }, meaning));
}

function describeCategory(note, feature, value, outside) {
  const missing = value === null ? `Counts as: ${feature.missing}.` : "";
  note.textContent = outside ? `“${value}” was in no training row: it counts as the mean of all. The answer is a guess.` : missing;
  note.classList.toggle("warning", outside);
}

function describe(note, feature, outside) {
  const { minimum, maximum } = feature.training;
  const range = `${brief(minimum)} to ${brief(maximum)}`;
  note.textContent = outside
    ? `Outside what it was trained on: ${range}. The answer is a guess.`
    : `Trained on ${range}, typically ${brief(feature.training.median)}.`;
  note.classList.toggle("warning", outside);
}
