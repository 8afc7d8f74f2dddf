/** The part "Versions": what is served and since when, how good each is, two compared. */

import { card, element, table } from "./elements.js";
import { brief, decimalsFor, fixed, signed, withUnit } from "./numbers.js";
import { mayBeMissing, typical } from "./row.js";
import { ServiceError } from "./service.js";
import { Subject } from "./subject.js";

/**
 * @param {HTMLElement} root
 * @param {import("./page.js").Context} context
 * @returns {() => void} Leaves it.
 */
export function show(root, context) {
  const { model, row } = context;
  const place = element("div", { class: "stack" });
  root.append(place);
  let left = false;
  begin(model, row).then((made) => {
    if (!left) place.replaceChildren(...made);
  });
  return () => { left = true; };
}

async function begin(model, row) {
  const served = model.versions.filter((it) => it.executor);
  const subjects = await Promise.all(served.map((it) => new Subject(model, it, true).load()));
  const compared = subjects.filter((it) => it.contract);
  return [
    card("Served", {}, listed(model, subjects)),
    compared.length > 1 ? comparison(compared, row) : null,
    ...subjects.filter((it) => it.contract && it.version.version === model.version).flatMap(described),
  ].filter(Boolean);
}

function listed(model, subjects) {
  const contracts = Object.fromEntries(subjects.map((it) => [it.version.version, it.contract]));
  const rows = model.versions.map((version) => {
    const test = contracts[version.version]?.metrics?.test?.network ?? {};
    return [
      String(version.version),
      element("span", { class: `state ${version.executor ? "good" : ""}` }, version.executor ? (version.version === model.version ? "answers" : "served") : version.error ? "refused" : version.state.toLowerCase()),
      version.labels.join(", "),
      since(version.since),
      number(test.mae), number(test.r2, 3),
      element("span", {}, ...links(version)),
    ];
  });
  const refused = model.versions.filter((it) => it.error).map((it) => element("p", { class: "message" }, `Version ${it.version} is refused: ${it.error}`));
  return element("div", {}, table(["#version", "state", "labels", "since", "#test MAE", "#test R²", "documents"], rows, "Versions of the model"), refused);
}

function links(version) {
  const documents = version.documents ?? {};
  const order = ["report", "contract", "metadata"].filter((it) => documents[it]);
  return order.flatMap((name, i) => [i ? " · " : "", element("a", { href: documents[name] }, name === "report" ? "training report" : name)]);
}

function since(text) {
  return text ? element("time", { datetime: text, title: text }, new Date(text).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" })) : "";
}

function metricName(name) {
  return name === "r2" ? "R²" : name.toUpperCase();
}

function number(value, digits = 2) {
  return value === undefined ? "" : value.toFixed(digits);
}

function comparison(subjects, row) {
  const choice = (title, index) => {
    const select = element("select", { "aria-label": title }, subjects.map((it, i) => element("option", { value: i, selected: i === index }, `version ${it.version.version}${it.version.labels.length ? ` (${it.version.labels.join(", ")})` : ""}`)));
    select.addEventListener("change", fill);
    return select;
  };
  const one = choice("First version", 0);
  const other = choice("Second version", 1);
  const place = element("div", { "aria-live": "polite" });
  async function fill() {
    const pair = [subjects[Number(one.value)], subjects[Number(other.value)]];
    try {
      place.replaceChildren(await compared(pair, row));
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      place.replaceChildren(element("p", { class: "message" }, error.message));
    }
  }
  fill();
  return card("Two on the same row", {}, element("p", { class: "note" }, "The row of “Try it”. What a version does not read is left out, what it lacks is its typical value."), element("div", { class: "row" }, one, element("span", {}, "and"), other), place);
}

async function compared([a, b], row) {
  const [[first], [second]] = await Promise.all([a, b].map((it) => it.predict([instanceFor(it, row)])));
  const decimals = decimalsFor(a.contract.target.training.std || 1);
  const unit = a.contract.target.unit;
  const test = [a, b].map((it) => it.contract.metrics?.test?.network ?? {});
  const measured = Object.keys(test[0]).filter((it) => it in test[1]);
  const rows = [
    [withUnit(a.contract.target.name, unit), fixed(first.value, decimals), fixed(second.value, decimals), signed(second.value - first.value, decimals)],
    ...measured.map((it) => [`test ${metricName(it)}`, number(test[0][it], 3), number(test[1][it], 3), signed(test[1][it] - test[0][it], 3)]),
  ];
  return table(["measure", `#version ${a.version.version}`, `#version ${b.version.version}`, "#difference"], rows, "Two versions compared");
}

/** The row as another version takes it. */
function instanceFor({ contract }, row) {
  const entries = contract.features.map((it) => [it.name, row.values[it.name] ?? (mayBeMissing(it) ? null : typical(it))]);
  return Object.fromEntries(entries.filter(([, it]) => it !== null));
}

function described({ contract, version }) {
  return [
    card(`How good version ${version.version} is`, {}, metrics(contract)),
    card("How it was made", {}, lineage(contract)),
  ];
}

function metrics({ metrics: told, target }) {
  const sets = Object.entries(told);
  const names = [...new Set(sets.flatMap(([, predictors]) => Object.values(predictors).flatMap(Object.keys)))];
  const rows = sets.flatMap(([set, predictors]) => Object.entries(predictors).map(([predictor, values]) => [set, predictor, ...names.map((it) => number(values[it], 3))]));
  return element("div", {}, table(["rows", "predictor", ...names.map((it) => `#${metricName(it)}`)], rows, "Metrics by data set and predictor"), target.unit ? element("p", { class: "note" }, `MAE in ${target.unit}.`) : null);
}

function lineage({ lineage: told, recipe }) {
  const list = (entries) => element("dl", { class: "facts" }, entries.filter(([, value]) => value !== null && value !== "").flatMap(([name, value]) => [element("dt", {}, name.replaceAll("_", " ")), element("dd", { title: typeof value === "string" ? value : "" }, short(value))]));
  return element("div", {}, list(Object.entries(told)), element("details", {}, element("summary", {}, "All knobs of the training"), list(Object.entries(recipe))));
}

/** A value in a line: a hash by its beginning, what holds others by all of them. */
function short(value) {
  if (typeof value === "string") return /^[0-9a-f]{40,64}/.test(value) ? value.replace(/^([0-9a-f]{12})[0-9a-f]*/, "$1…") : value;
  if (typeof value === "number") return brief(value, 6);
  if (Array.isArray(value)) return value.map(short).join(", ");
  if (value !== null && typeof value === "object") return Object.entries(value).map(([name, it]) => `${name.replaceAll("_", " ")} ${short(it)}`).join(", ");
  return String(value);
}
