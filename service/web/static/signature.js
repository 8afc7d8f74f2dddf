/** The part "Try it" of a model that carries no contract: its signatures, asked with JSON. */

import { pretty } from "./api.js";
import { card, element, table } from "./elements.js";
import { ask, send, ServiceError } from "./service.js";

const TYPES = {
  DT_FLOAT: 1.0, DT_DOUBLE: 1.0, DT_HALF: 1.0, DT_BFLOAT16: 1.0, DT_STRING: "text", DT_BOOL: true,
};

/**
 * @param {HTMLElement} root
 * @param {import("./page.js").Context} context
 * @returns {() => void} Leaves it.
 */
export function show(root, context) {
  const place = element("div", { class: "stack" }, element("p", { class: "note" }, "Reading …"));
  root.append(place);
  ask(context.subject.documents.metadata).then(
    ({ answer }) => place.replaceChildren(form(context.subject, answer.metadata.signature_def.signature_def)),
    (error) => place.replaceChildren(element("p", { class: "message" }, error.message)));
  return () => {};
}

function form(subject, signatures) {
  const names = Object.keys(signatures).filter((it) => !it.startsWith("__saved_model"));
  const body = element("textarea", { rows: 10, spellcheck: "false", id: "signature-body" });
  const select = element("select", { id: "signature" }, names.map((it) => element("option", { value: it, selected: it === "serving_default" }, it)));
  const tensors = element("div", {});
  const outcome = element("div", { "aria-live": "polite" });
  const fill = () => {
    const chosen = signatures[select.value];
    body.value = JSON.stringify({ signature_name: select.value, inputs: example(chosen.inputs) }, null, 1);
    tensors.replaceChildren(table(["role", "name", "type", "shape"], [...rows("takes", chosen.inputs), ...rows("gives", chosen.outputs)], "Inputs and outputs"));
  };
  const go = async () => {
    try {
      const response = await send(`${subject.path}:predict`, { body: body.value });
      const text = await response.text();
      outcome.replaceChildren(element("p", {}, element("b", { class: response.ok ? "state good" : "state" }, String(response.status))), element("pre", { tabindex: "0" }, pretty(text)));
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      outcome.replaceChildren(element("p", { class: "message" }, error.message));
    }
  };
  select.addEventListener("change", fill);
  if (names.length) fill();
  return card("Ask it", {},
    element("p", { class: "note" }, "This model carries no contract, so its features have no names and ranges here."),
    element("label", { class: "stacked", for: "signature" }, "Signature", select), tensors,
    element("label", { class: "stacked", for: "signature-body" }, "Request", body),
    element("div", { class: "row" }, element("button", { type: "button", onclick: go }, "Send")), outcome);
}

function rows(role, tensors) {
  return Object.entries(tensors).map(([name, it]) => [role, element("code", {}, name), it.dtype.replace("DT_", "").toLowerCase(), shape(it)]);
}

function shape({ tensor_shape: told }) {
  return told.unknown_rank ? "any" : `[${sizes(told).map((it) => (it < 0 ? "n" : it)).join(", ")}]`;
}

function sizes(told) {
  return (told.dim ?? []).map((it) => Number(it.size));
}

/** One row for each input. */
function example(inputs) {
  const filled = ([size, ...rest], dtype) => (size === undefined ? (TYPES[dtype] ?? 1) : Array.from({ length: Math.max(1, Math.min(size, 8192)) }, () => filled(rest, dtype)));
  return Object.fromEntries(Object.entries(inputs).map(([name, it]) => [name, filled(it.tensor_shape.unknown_rank ? [] : sizes(it.tensor_shape), it.dtype)]));
}
