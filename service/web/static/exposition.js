/** Prometheus's text form, and what two readings of it tell of the time between them. */

/**
 * @typedef {{ name: string, labels: Record<string, string>, value: number }} Sample
 */

const LINE = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

/**
 * @param {string} text
 * @returns {Sample[]}
 */
export function parseExposition(text) {
  const samples = [];
  for (const line of text.split("\n")) {
    const found = line.startsWith("#") ? null : LINE.exec(line);
    if (!found) continue;
    const labels = {};
    for (const [, name, value] of (found[2] ?? "").matchAll(LABEL)) labels[name] = value.replace(/\\(.)/g, (_, it) => (it === "n" ? "\n" : it));
    samples.push({ name: found[1], labels, value: Number(found[3].replace("Inf", "Infinity")) });
  }
  return samples;
}

/**
 * @typedef {object} Reading
 * @property {number} atS - When it was taken, in seconds.
 * @property {Sample[]} samples
 */

/** Requests for pages, health and metrics are not the work that is watched. */
const isWork = ({ labels }) => labels.protocol !== "http";

/**
 * What happened between two readings.
 *
 * @param {Reading} before
 * @param {Reading} after
 */
export function between(before, after) {
  const seconds = after.atS - before.atS;
  const grown = growth(before.samples, after.samples);
  const requests = grown.filter((it) => it.name === "hearth_requests_total" && isWork(it));
  const failed = requests.filter((it) => it.labels.outcome !== "ok");
  const buckets = cumulative(grown.filter((it) => it.name === "hearth_request_seconds_bucket" && isWork(it)));
  return {
    atS: after.atS,
    requests: sum(requests) / seconds,
    errors: sum(failed) / seconds,
    rows: sum(grown.filter((it) => it.name === "hearth_rows_total")) / seconds,
    p50: quantile(buckets, 0.5),
    p90: quantile(buckets, 0.9),
    p99: quantile(buckets, 0.99),
    workers: sum(after.samples.filter((it) => it.name === "hearth_workers")),
    routes: byRoute(requests, seconds),
  };
}

/**
 * The value below which a share of what was counted lies, by straight lines within buckets.
 *
 * @param {[number, number][]} buckets - Upper bounds, ascending, and how many lie below each.
 * @param {number} share
 * @returns {number | null} Null where nothing was counted.
 */
export function quantile(buckets, share) {
  const total = buckets.at(-1)?.[1] ?? 0;
  if (!(total > 0)) return null;
  const wanted = share * total;
  let [from, counted] = [0, 0];
  for (const [to, below] of buckets) {
    if (below >= wanted && below > counted) return to === Infinity ? from : from + ((to - from) * (wanted - counted)) / (below - counted);
    [from, counted] = [to, below];
  }
  return from;
}

function growth(before, after) {
  const old = new Map(before.map((it) => [keyOf(it), it.value]));
  // A counter that fell has begun anew.
  return after.map((it) => {
    const was = old.get(keyOf(it)) ?? 0;
    return { ...it, value: it.value >= was ? it.value - was : it.value };
  });
}

function keyOf({ name, labels }) {
  return `${name}|${Object.entries(labels).map(([key, it]) => `${key}=${it}`).sort().join("|")}`;
}

function cumulative(samples) {
  const by = new Map();
  for (const { labels, value } of samples) by.set(labels.le, (by.get(labels.le) ?? 0) + value);
  return [...by].map(([le, it]) => [Number(le.replace("+Inf", "Infinity")), it]).sort(([a], [b]) => a - b);
}

function byRoute(requests, seconds) {
  const by = new Map();
  for (const { labels, value } of requests) {
    if (value === 0) continue;
    const key = [labels.protocol, labels.route, [labels.model, labels.version].filter(Boolean).join(" "), labels.outcome].join("\t");
    by.set(key, (by.get(key) ?? 0) + value / seconds);
  }
  return [...by].map(([key, rate]) => [...key.split("\t"), rate]).sort((a, b) => b[4] - a[4]);
}

function sum(samples) {
  return samples.reduce((total, it) => total + it.value, 0);
}
