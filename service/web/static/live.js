/** The part "Live": requests, latency, errors, workers and drift, from the service's own metrics. */

import { card, drawn, element, table } from "./elements.js";
import { between, parseExposition } from "./exposition.js";
import { brief, duration } from "./numbers.js";
import { plot } from "./plots.js";
import { askIfThere, send, ServiceError } from "./service.js";
import { modelPath } from "./subject.js";

const EVERY_MS = 1000;
const KEPT = 300;
const DRIFT_EVERY = 10;

/**
 * @param {HTMLElement} root
 * @param {import("./page.js").Context} context
 * @returns {() => void} Leaves it.
 */
export function show(root, context) {
  const path = context.told.metrics[0];
  const tiles = element("div", { class: "tiles" });
  const routes = element("div", {});
  const drift = element("div", {});
  const said = element("p", { class: "message", role: "status" });
  const rates = plot({ title: "Requests and errors a second", x: "time", y: "a second", time: true, legend: true, range: [0, null], series: [{ label: "requests", colour: "warm" }, { label: "errors", colour: "bad" }] }, [[], [], []]);
  const times = plot({ title: "Latency: half, nine in ten, 99 in 100 are faster", x: "time", y: "", time: true, legend: true, range: [0, null], format: duration, series: [{ label: "p50", colour: "cool" }, { label: "p90", colour: "warm", thin: true }, { label: "p99", colour: "bad", thin: true }] }, [[], [], [], []]);
  const pause = element("button", { type: "button", class: "quiet", "aria-pressed": "false", onclick: () => pause.setAttribute("aria-pressed", String(pause.getAttribute("aria-pressed") !== "true")) }, "Pause");
  root.append(
    card("Now", {}, tiles, said, element("div", { class: "row" }, pause, element("span", { class: "note" }, "All workers together; the page's own requests for pages and metrics are not counted."))),
    element("div", { class: "pictures two" }, card("", {}, rates.node), card("", {}, times.node)),
    card("By route", {}, routes), drift);
  /** @type {ReturnType<typeof between>[]} */
  let history = context.history;
  let before = null;
  let turn = 0;
  let timer = 0;
  let left = false;

  async function tick() {
    if (!document.hidden && pause.getAttribute("aria-pressed") !== "true") await look();
    if (!left) timer = setTimeout(tick, EVERY_MS);
  }
  async function look() {
    try {
      const reading = { atS: Date.now() / 1000, samples: parseExposition(await read(path)) };
      if (before) show(between(before, reading));
      before = reading;
      said.textContent = "";
      if (turn++ % DRIFT_EVERY === 0) await showDrift(drift, context.subject);
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      said.textContent = error.message;
      before = null;
    }
  }
  function show(now) {
    history.push(now);
    history.splice(0, Math.max(0, history.length - KEPT));
    tiles.replaceChildren(
      tile("requests a second", brief(now.requests, 3)), tile("rows a second", brief(now.rows, 3)),
      tile("median latency", duration(now.p50)), tile("99 in 100 below", duration(now.p99)),
      tile("errors a second", brief(now.errors, 3), now.errors > 0), tile("workers", brief(now.workers)));
    const at = history.map((it) => it.atS);
    rates.set([at, history.map((it) => it.requests), history.map((it) => it.errors)]);
    times.set([at, history.map((it) => it.p50), history.map((it) => it.p90), history.map((it) => it.p99)]);
    const rows = now.routes.map(([protocol, route, model, outcome, rate]) => [protocol, route, model, outcome, brief(rate, 3)]);
    routes.replaceChildren(rows.length ? table(["protocol", "route", "model", "outcome", "#a second"], rows, "Requests by route") : element("p", { class: "note" }, "Nothing is asked just now."));
  }
  tick();
  return () => {
    left = true;
    clearTimeout(timer);
    rates.leave();
    times.leave();
  };
}

async function read(path) {
  const response = await send(path, { headers: { Accept: "text/plain" } });
  if (!response.ok) throw new ServiceError(`The metrics cannot be read: ${response.status}.`, response.status);
  return response.text();
}

function tile(title, value, bad = false) {
  return element("div", { class: bad ? "tile bad" : "tile" }, element("span", { class: "note" }, title), element("b", {}, value));
}

/** How far the rows asked for have moved from those trained on; nothing where it is not told. */
async function showDrift(place, subject) {
  // Only a version that knows the training data's histogram can be held against it.
  if (!subject?.contract?.target.training.shares?.length) return;
  const told = await askIfThere(`${modelPath(subject.model)}/drift`);
  if (told !== null) place.replaceChildren(card("Drift", {}, ...drifted(told)));
}

/**
 * @param {any} told - `{ rows, window_s, drifted, columns }`
 * @returns {HTMLElement[]}
 */
function drifted({ rows, window_s: windowS, columns }) {
  const lines = columns.map((it) => [
    element("b", {}, it.column),
    shares(it),
    brief(it.missing), brief(it.out_of_range), brief(it.psi, 3), brief(it.p_adjusted, 2),
    element("span", { class: it.verdict === "drifted" ? "message" : "note" }, it.verdict),
  ]);
  return [
    element("p", { class: "note" }, `${rows.toLocaleString("en")} rows of the last ${duration(windowS)}, held against the training. Bars: how the training's rows lie in its bins, and, dark, those asked for.`),
    table(["column", "shares", "#missing", "#outside", "#PSI", "#p", "verdict"], lines, "Drift by column"),
  ];
}

/** Each bin's share, as asked for before the training's. */
function shares({ shares: now, training_shares: training, categories }) {
  const [width, height] = [8, 24];
  const tallest = Math.max(...now, ...training, 1e-9);
  const bar = (share, i, name, inset) => {
    const it = drawn("rect", { class: name, x: i * width + inset, width: width - 1 - 2 * inset, y: height - (share / tallest) * height, height: (share / tallest) * height });
    if (categories?.length) it.append(drawn("title", {}, [`${categories[i] ?? "any other"}: ${brief(100 * (now[i] ?? 0), 3)} %, in training ${brief(100 * training[i], 3)} %`]));
    return it;
  };
  return drawn("svg", { class: "shares", width: width * training.length, height, "aria-hidden": "true" },
    training.map((it, i) => bar(it, i, "then", 0)), now.map((it, i) => bar(it, i, "now", 2)));
}
