/** The request as text to copy: curl, Python, gRPC. */

import { card, element } from "./elements.js";

/**
 * @param {import("./subject.js").Subject} subject
 * @param {any} instance
 * @param {number | null} level - Of the interval; null without one.
 * @param {{ origin: string, grpcPort: number | null }} place
 * @returns {Record<string, string>} Texts by title.
 */
export function snippets(subject, instance, level, { origin, grpcPort }) {
  const body = level === null ? { instances: [instance] } : { instances: [instance], level };
  const made = {
    curl: `curl -d ${quoted(JSON.stringify(body))} ${origin}${subject.path}:predict`,
    Python: python(subject, instance, origin),
  };
  if (grpcPort !== null && numeric(subject, instance)) made.gRPC = grpc(subject, instance, `${new URL(origin).hostname}:${grpcPort}`);
  return made;
}

/**
 * @param {() => Record<string, string>} make - The texts as they are now.
 */
export function snippetsCard(make) {
  const code = element("code", {});
  const said = element("span", { class: "note", role: "status" });
  const choices = element("div", { class: "choices" });
  let chosen = "curl";
  const copy = element("button", { type: "button", class: "quiet", onclick: () => copied(code.textContent, said) }, "Copy");
  const node = card("The same request", { class: "snippets" },
    element("div", { class: "row" }, element("fieldset", { class: "choice" }, element("legend", { class: "hidden" }, "Language"), choices), copy, said),
    element("pre", { tabindex: "0", role: "group", "aria-label": "The request" }, code));
  function update() {
    const texts = make();
    if (choices.childElementCount !== Object.keys(texts).length) {
      choices.replaceChildren(...Object.keys(texts).map((title) => {
        const box = element("input", { type: "radio", name: "snippet", value: title, checked: title === chosen });
        box.addEventListener("change", () => { chosen = title; update(); });
        return element("label", {}, box, element("span", {}, title));
      }));
    }
    code.textContent = texts[chosen] ?? texts.curl;
    said.textContent = "";
  }
  return { node, update };
}

/**
 * Put a text on the clipboard; where that is not allowed, say so.
 *
 * @param {string} text
 * @param {HTMLElement} said - Where the outcome is told.
 */
export async function copied(text, said) {
  try {
    await navigator.clipboard.writeText(text);
    said.textContent = "Copied.";
  } catch {
    said.textContent = "The browser does not allow it: mark the text and copy it.";
  }
}

function numeric(subject, instance) {
  return subject.contract.features.every((it) => typeof instance[it.name] === "number");
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function literal(value) {
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}

function python(subject, instance, origin) {
  const features = Object.entries(instance).map(([name, it]) => `${JSON.stringify(name)}: ${literal(it)}`);
  const pinned = subject.path === subject.numbered ? `, version=${subject.version.version}` : "";
  return `from client import Client

with Client(${JSON.stringify(origin)}, ${JSON.stringify(subject.model.name)}${pinned}) as client:
    print(client.predict({${features.join(", ")}}))`;
}

function grpc(subject, instance, address) {
  const { contract } = subject;
  const row = contract.features.map((it) => instance[it.name]);
  const pinned = subject.path === subject.numbered ? `\nrequest.model_spec.version.value = ${subject.version.version}` : "";
  return `import grpc
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

request = predict_pb2.PredictRequest()
request.model_spec.name = ${JSON.stringify(subject.model.name)}${pinned}
batch = request.inputs[${JSON.stringify(contract.input)}]
batch.dtype = 1  # DT_FLOAT
batch.tensor_shape.dim.add(size=1)
batch.tensor_shape.dim.add(size=${row.length})
batch.float_val.extend([${row.join(", ")}])

with grpc.insecure_channel(${JSON.stringify(address)}) as channel:
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    answer = stub.Predict(request, timeout=5)
print(answer.outputs[${JSON.stringify(contract.output)}].float_val[0])`;
}
