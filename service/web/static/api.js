/** The part "API": the service's OpenAPI document to read, and to try each request. */

import { card, element } from "./elements.js";
import { duration } from "./numbers.js";
import { ask, send, ServiceError } from "./service.js";

const SHOWN_CHARACTERS = 20_000;

/**
 * @param {HTMLElement} root
 * @param {import("./page.js").Context} context
 * @returns {() => void} Leaves it.
 */
export function show(root, context) {
  const place = element("div", { class: "stack" }, element("p", { class: "note" }, "Reading …"));
  root.append(place);
  let left = false;
  ask(context.told.openapi).then(
    ({ answer }) => { if (!left) place.replaceChildren(...reader(answer, context)); },
    (error) => { place.replaceChildren(element("p", { class: "message" }, error.message)); });
  return () => { left = true; };
}

function reader(document, context) {
  const operations = Object.entries(document.paths).flatMap(([path, item]) => Object.entries(item).map(([method, it]) => ({ path, method: method.toUpperCase(), ...it })));
  const groups = document.tags.map(({ name }) => [name, operations.filter((it) => it.tags[0] === name)]);
  return [
    card("Routes", {},
      element("p", {}, document.info.description),
      element("p", { class: "note" }, "As ", element("a", { href: context.told.openapi }, "OpenAPI 3.1"), " for programs. gRPC", context.place.grpcPort === null ? " is not served." : ` is served on port ${context.place.grpcPort}, with reflection.`)),
    ...groups.filter(([, those]) => those.length).map(([tag, those]) => card(tag, { class: "routes" }, those.map((it) => operationItem(document, it)))),
  ];
}

function operationItem(document, operation) {
  const details = element("details", { class: "operation" },
    element("summary", {}, element("span", { class: `method ${operation.method.toLowerCase()}` }, operation.method), " ", element("code", {}, operation.path), " ", element("span", { class: "note" }, operation.summary)));
  // What is inside is made when it is first wanted.
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) details.append(trial(document, operation));
  });
  return details;
}

function trial(document, operation) {
  const fields = (operation.parameters ?? []).map((it) => parameterField(operation, it));
  const content = operation.requestBody?.content["application/json"];
  const body = content ? element("textarea", { rows: 8, spellcheck: "false", "aria-label": "Body" }) : null;
  if (body) body.value = JSON.stringify(content.example ?? {}, null, 1);
  const outcome = element("div", { "aria-live": "polite" });
  const go = element("button", { type: "button", onclick: () => sent(operation, fields, body, outcome) }, "Send");
  return element("div", { class: "trial" },
    ...fields.map((it) => it.node),
    body && element("label", { class: "stacked" }, "Body", body),
    element("div", { class: "row" }, go), outcome,
    content ? element("details", {}, element("summary", {}, "Form of the body"), element("pre", { tabindex: "0" }, JSON.stringify(content.schema, null, 1))) : null,
    element("details", {}, element("summary", {}, "Answers"), answers(document, operation)));
}

function parameterField(operation, { name, description, schema }) {
  const id = `${operation.operationId}-${name}`;
  const input = schema.enum ? element("select", { id }, schema.enum.map((it) => element("option", { value: it }, String(it)))) : element("input", { id, type: "text" });
  return { name, input, node: element("label", { class: "stacked", for: id }, `${name}: ${description}`, input) };
}

function answers(document, { responses }) {
  const rows = Object.entries(responses).map(([status, it]) => {
    const told = it.$ref ? document.components.responses[it.$ref.split("/").at(-1)] : it;
    return element("li", {}, element("code", {}, status), ` ${told.description}`);
  });
  return element("ul", { class: "answers" }, rows);
}

async function sent(operation, fields, body, outcome) {
  const path = fields.reduce((it, { name, input }) => it.replace(`{${name}}`, encodeURIComponent(input.value)), operation.path);
  const started = performance.now();
  try {
    const response = await send(path, { method: operation.method, body: body?.value, headers: { Accept: "application/json, text/plain;q=0.9" } });
    const text = await response.text();
    const took = (performance.now() - started) / 1000;
    outcome.replaceChildren(
      element("p", {}, element("b", { class: response.ok ? "state good" : "state" }, String(response.status)), ` in ${duration(took)} · ${text.length.toLocaleString("en")} characters`, versionOf(response)),
      element("pre", { tabindex: "0", role: "group", "aria-label": "The answer" }, pretty(text).slice(0, SHOWN_CHARACTERS)));
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    outcome.replaceChildren(element("p", { class: "message" }, error.message));
  }
}

function versionOf(response) {
  const version = response.headers.get("X-Model-Version");
  return version ? ` · version ${version}` : "";
}

/**
 * @param {string} text
 * @returns {string} JSON with line breaks; anything else as it is.
 */
export function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 1);
  } catch {
    return text;
  }
}
