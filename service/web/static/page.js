/** The page: its address decides which model, version and part it shows. */

import { formatAddress, parseAddress } from "./address.js";
import { show as showApi } from "./api.js";
import { show as showBatch } from "./batch.js";
import { show as showBehaviour } from "./behaviour.js";
import { element } from "./elements.js";
import { show as showLive } from "./live.js";
import { Row } from "./row.js";
import { access, askIfThere } from "./service.js";
import { show as showSignature } from "./signature.js";
import { Subject } from "./subject.js";
import { show as showTry } from "./try.js";
import { show as showVersions } from "./versions.js";

/**
 * @typedef {object} Context
 * @property {any} told - The service's index.
 * @property {any} model - What it tells of the model shown; null if there is none.
 * @property {Subject | null} subject - Null if no version of it is served.
 * @property {Row} row
 * @property {{ origin: string, grpcPort: number | null }} place
 * @property {any[]} history - What "Live" has seen so far.
 * @property {() => void} keepAddress - Puts the row into the address.
 * @property {(version: string) => void} noteVersion - A version has answered.
 */

/** @type {Record<string, { title: string, show: (root: HTMLElement, context: Context) => () => void, needs: string }>} */
const PARTS = {
  try: { title: "Try it", show: (root, context) => (context.subject.contract ? showTry : showSignature)(root, context), needs: "version" },
  behaviour: { title: "How it behaves", show: showBehaviour, needs: "contract" },
  versions: { title: "Versions", show: showVersions, needs: "model" },
  batch: { title: "Batch", show: showBatch, needs: "contract" },
  live: { title: "Live", show: showLive, needs: "" },
  api: { title: "API", show: showApi, needs: "" },
};

const content = document.getElementById("content");
const parts = document.getElementById("parts");
const which = document.getElementById("which");

/** @type {Context} */
const context = {
  told: JSON.parse(document.getElementById("told")?.textContent ?? "null"),
  model: null, subject: null, row: new Row([]), place: null, history: [],
  keepAddress, noteVersion,
};
let address = parseAddress(location.hash);
let leave = () => {};
let turn = 0;

/** Show what the address says. */
async function follow() {
  const mine = ++turn;
  const next = parseAddress(location.hash);
  // Behind keys the page comes without what it shows.
  context.told ??= await askIfThere("/");
  if (context.told === null) return;
  context.place = { origin: location.origin, grpcPort: context.told.protocols.grpc?.port ?? null };
  const model = context.told.models.find((it) => it.name === next.model) ?? context.told.models[0] ?? null;
  const version = model && chosenVersion(model, next.version);
  const known = context.subject;
  const same = known !== null && known.model === model && known.version === version && (next.version !== "") === (known.path === known.numbered);
  const subject = same ? known : version ? await new Subject(model, version, next.version !== "").load() : null;
  if (mine !== turn) return;
  if (!same || Object.keys(next.values).length) context.row = new Row(subject?.contract?.features ?? [], next.values);
  [context.model, context.subject, address] = [model, subject, next];
  render();
}

function chosenVersion(model, number) {
  const served = model.versions.filter((it) => it.executor);
  return served.find((it) => String(it.version) === number) ?? served.find((it) => it.version === model.version) ?? null;
}

function possible({ needs }) {
  if (needs === "contract") return Boolean(context.subject?.contract);
  if (needs === "version") return context.subject !== null;
  return needs === "" || context.model !== null;
}

function render() {
  const names = Object.keys(PARTS).filter((it) => possible(PARTS[it]));
  const shown = names.includes(address.part) ? address.part : names[0];
  leave();
  parts.replaceChildren(...names.map((it) => element("a", { href: addressOf(it), "aria-current": it === shown ? "page" : false }, PARTS[it].title)));
  parts.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  which.replaceChildren(...choices());
  document.title = [PARTS[shown].title, context.model?.name, "Hearth"].filter(Boolean).join(" · ");
  const root = element("div", { class: `part part-${shown}` });
  const heading = element("h2", { class: "hidden" }, PARTS[shown].title);
  content.replaceChildren(heading, notice(), root);
  leave = PARTS[shown].show(root, context);
}

function notice() {
  if (context.model?.problem) return element("p", { class: "message banner" }, `${context.model.name} is not served: ${context.model.problem}.`);
  return context.model ? element("p", { class: "banner", id: "notice", hidden: true, role: "status" }) : element("p", { class: "message banner" }, "No model is configured.");
}

/** Model and version: texts where there is one, choices where there are several. */
function choices() {
  const { models } = context.told;
  const version = context.subject?.version;
  const many = models.length > 1;
  const served = context.model?.versions.filter((it) => it.executor) ?? [];
  return [
    many ? chooser("Model", models.map((it) => [it.name, it.name]), context.model?.name, (it) => formatAddress({ model: it, part: address.part, version: "", values: {} })) : element("span", {}, context.model?.name ?? ""),
    served.length > 1
      ? chooser("Version", [["", `version ${context.model.version}`], ...served.filter((it) => it.version !== context.model.version).map((it) => [String(it.version), `version ${it.version}`])], address.version, (it) => formatAddress({ ...address, model: context.model.name, version: it, values: {} }))
      : version && element("span", { class: "note" }, `version ${version.version}`),
  ].filter(Boolean);
}

function chooser(label, options, current, to) {
  const select = element("select", { "aria-label": label }, options.map(([value, title]) => element("option", { value, selected: value === current }, title)));
  select.addEventListener("change", () => { location.hash = to(select.value); });
  return select;
}

function addressOf(part) {
  return formatAddress({ model: context.model?.name ?? "", part, version: address.version, values: {} });
}

function keepAddress() {
  const kept = { model: context.model.name, part: "try", version: address.version, values: context.row.texts };
  history.replaceState(null, "", formatAddress(kept));
}

/** Say so when another version has begun to answer since the page was loaded. */
function noteVersion(version) {
  const { subject } = context;
  const place = document.getElementById("notice");
  if (!place || !version || !subject || String(subject.version.version) === version) return;
  place.hidden = false;
  place.replaceChildren(`Version ${version} answers now. `, element("button", { type: "button", class: "quiet", onclick: renew }, "Show it"));
}

/** Read the index again, and show what is served now. */
async function renew() {
  context.told = (await askIfThere("/")) ?? context.told;
  context.subject = null;
  await follow();
}

/** Ask for a key once the service refuses to answer without. */
access.onRefused = () => {
  if (document.getElementById("key")) return;
  const input = element("input", { id: "key", type: "password", autocomplete: "off" });
  const form = element("form", { class: "banner row", onsubmit: (event) => {
    event.preventDefault();
    access.key = input.value;
    sessionStorage.setItem("key", input.value);
    form.remove();
    renew();
  } }, element("label", { for: "key" }, "This service asks for a key or token:"), input, element("button", { type: "submit" }, "Use it"));
  content.prepend(form);
};

addEventListener("hashchange", follow);
follow();
