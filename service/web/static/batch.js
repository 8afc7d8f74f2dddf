/** The part "Batch": a CSV file, priced in chunks; errors by row; all of it to download. */

import { formatCsv, parseCsv } from "./csv.js";
import { card, element, table } from "./elements.js";
import { brief, decimalsFor, fixed } from "./numbers.js";
import { isCategory, mayBeMissing, Row } from "./row.js";
import { ServiceError } from "./service.js";

const CHUNK_ROWS = 1000;
const SHOWN_ROWS = 20;
const SHOWN_ERRORS = 50;
// Texts that stand for no value in a table, as training reads them.
const MISSING = new Set(["", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "<NA>", "#N/A"]);

/**
 * @param {HTMLElement} root
 * @param {import("./page.js").Context} context
 * @returns {() => void} Leaves it.
 */
export function show(root, context) {
  const { subject } = context;
  const named = (wanted) => subject.contract.features.filter((it) => mayBeMissing(it) === wanted).map((it) => it.name).join(", ");
  const input = element("input", { type: "file", accept: ".csv,.tsv,.txt,text/csv", id: "file", class: "hidden" });
  const zone = element("label", { for: "file", class: "drop" }, element("b", {}, "Drop a CSV file here"), element("span", {}, "or choose one"));
  const said = element("p", { class: "note", role: "status" });
  const outcome = element("div", { class: "stack" });
  let running = new AbortController();
  async function take(file) {
    if (!file) return;
    running.abort();
    running = new AbortController();
    outcome.replaceChildren();
    try {
      await run(file, running.signal);
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof ServiceError) && !(error instanceof TableError)) throw error;
      said.textContent = error.message;
    }
  }
  async function run(file, signal) {
    said.textContent = `Reading ${file.name} …`;
    const job = new Table(parseCsv(await file.text()), subject.contract);
    for await (const done of job.price(subject, signal)) said.textContent = `${done.toLocaleString("en")} of ${job.rows.length.toLocaleString("en")} rows`;
    said.textContent = `${file.name}: ${job.good.toLocaleString("en")} rows priced, ${job.errors.size.toLocaleString("en")} with errors.${unknownRows(job)}`;
    outcome.replaceChildren(...results(job, file.name));
  }
  input.addEventListener("change", () => take(input.files[0]).then(() => { input.value = ""; }));
  const over = (on) => (event) => { event.preventDefault(); zone.classList.toggle("over", on); };
  zone.addEventListener("dragover", over(true));
  zone.addEventListener("dragleave", over(false));
  zone.addEventListener("drop", (event) => { over(false)(event); take(event.dataTransfer.files[0]); });
  root.append(card("Many rows at once", {},
    element("p", { class: "note" }, `One row a line, with a first line of names. Needed: ${named(false) || "nothing"}, in any order${named(true) && `; may be missing: ${named(true)}`}; other columns are kept. Nothing leaves this page but to this service.`),
    input, zone, said), outcome);
  return () => running.abort();
}

/** A table that cannot be priced as a whole. */
export class TableError extends Error {}

/** Rows of a file and what became of each. */
export class Table {
  /**
   * @param {string[][]} lines - The first has the columns' names.
   * @param {any} contract
   * @throws {TableError} A column is missing, or there are no rows.
   */
  constructor(lines, contract) {
    const [header = [], ...rows] = lines;
    this.header = header.map((it) => it.trim());
    this.rows = rows;
    this.contract = contract;
    /** @type {(import("./subject.js").Answer | null)[]} */
    this.answers = rows.map(() => null);
    /** @type {Map<number, string>} Messages by row, from 0. */
    this.errors = new Map();
    /** Rows with a category that the model does not know. */
    this.unknown = 0;
    this.columns = contract.features.map((it) => this.header.indexOf(it.name));
    const missing = contract.features.filter((it, i) => this.columns[i] < 0 && !mayBeMissing(it)).map((it) => it.name);
    if (missing.length) throw new TableError(`The file has no column ${missing.join(", ")}. Its columns: ${this.header.join(", ")}.`);
    if (rows.length === 0) throw new TableError("The file has no rows below its first line.");
  }

  /** How many rows have a price. */
  get good() {
    return this.answers.filter(Boolean).length;
  }

  /**
   * Price all rows.
   *
   * @param {import("./subject.js").Subject} subject
   * @param {AbortSignal} signal
   * @returns {AsyncGenerator<number>} How many are done, after each chunk.
   */
  async *price(subject, signal) {
    for (let start = 0; start < this.rows.length; start += CHUNK_ROWS) {
      const end = Math.min(start + CHUNK_ROWS, this.rows.length);
      const good = [];
      for (let i = start; i < end; i++) {
        const found = this.read(i);
        if (found) good.push([i, found]);
      }
      await this._ask(subject, good, signal);
      yield end;
    }
  }

  /**
   * @param {number} i
   * @returns {any} The row as the service takes it; null if something in it is wrong.
   */
  read(i) {
    const cells = this.rows[i];
    if (cells.length !== this.header.length) return this._wrong(i, `has ${cells.length} cells, the first line has ${this.header.length}`);
    const row = new Row(this.contract.features);
    for (const [k, feature] of this.contract.features.entries()) {
      const text = this.text(i, k);
      row.values[feature.name] = text === "" ? null : isCategory(feature) ? text : Number(text);
      if (text !== "" && !isCategory(feature) && Number.isNaN(Number(text))) return this._wrong(i, `${feature.name} is “${text}”, no number`);
    }
    if (row.outside.some(isCategory)) this.unknown += 1;
    return row.problem ? this._wrong(i, row.problem.replace(/\.$/, "")) : row.instance;
  }

  /**
   * @param {number} i
   * @param {number} k - Of the feature.
   * @returns {string} What a row has for a feature; empty if nothing.
   */
  text(i, k) {
    const text = this.columns[k] < 0 ? "" : (this.rows[i][this.columns[k]] ?? "").trim();
    return MISSING.has(text) ? "" : text;
  }

  /** Ask for a chunk; if the service refuses a row, note it and ask for the rest. */
  async _ask(subject, good, signal) {
    while (good.length) {
      try {
        const answers = await subject.predict(good.map(([, it]) => it), { level: batchLevel(subject), signal, real: true });
        good.forEach(([i], k) => { this.answers[i] = answers[k]; });
        return;
      } catch (error) {
        const at = error instanceof ServiceError && error.status === 400 ? Number(/instances\[(\d+)\]/.exec(error.message)?.[1] ?? NaN) : NaN;
        if (!(at < good.length)) throw error;
        this._wrong(good[at][0], error.message.replace(/instances\[\d+\]\.?/, "").trim());
        good = good.filter((_, k) => k !== at);
      }
    }
  }

  _wrong(i, message) {
    this.errors.set(i, message);
    return null;
  }

  /** The file with its answers: a column for the value, its bounds where there are any, and errors. */
  lines() {
    const bounded = this.answers.some((it) => it && it.lower !== null);
    const added = [this.contract.output, ...(bounded ? ["lower", "upper"] : []), ...(this.errors.size ? ["error"] : [])];
    const own = (i) => {
      const it = this.answers[i];
      return [it?.value ?? "", ...(bounded ? [it?.lower ?? "", it?.upper ?? ""] : []), ...(this.errors.size ? [this.errors.get(i) ?? ""] : [])];
    };
    return [[...this.header, ...added], ...this.rows.map((cells, i) => [...this.header.map((_, k) => cells[k] ?? ""), ...own(i)])];
  }
}

function batchLevel(subject) {
  return subject.levels.includes(0.9) ? 0.9 : (subject.levels[0] ?? null);
}

function unknownRows({ unknown }) {
  return unknown ? ` Rows with a category that was in no training row: ${unknown.toLocaleString("en")}; their answers are guesses.` : "";
}

function results(job, name) {
  const { features, output, target } = job.contract;
  const decimals = decimalsFor(target.training.std || 1);
  const url = URL.createObjectURL(new Blob([formatCsv(job.lines())], { type: "text/csv" }));
  const link = element("a", { class: "button", href: url, download: `${name.replace(/\.\w+$/, "")}-${output}.csv` }, "Download all rows");
  const first = job.answers.map((it, i) => [it, i]).filter(([it]) => it).slice(0, SHOWN_ROWS);
  const bounded = first.some(([it]) => it.lower !== null);
  const head = ["#line", ...features.map((it) => (isCategory(it) ? it.name : `#${it.name}`)), `#${output}`, ...(bounded ? ["#lower", "#upper"] : [])];
  const rows = first.map(([it, i]) => [
    String(i + 2),
    ...features.map((feature, k) => (isCategory(feature) || job.text(i, k) === "" ? job.text(i, k) : brief(Number(job.text(i, k))))),
    element("b", {}, fixed(it.value, decimals)),
    ...(bounded ? [fixed(it.lower, decimals), fixed(it.upper, decimals)] : []),
  ]);
  const wrong = [...job.errors].slice(0, SHOWN_ERRORS).map(([i, message]) => [String(i + 2), message]);
  return [
    first.length > 0 && card(first.length < job.good ? `The first ${first.length} rows` : "The rows", {}, table(head, rows, "Priced rows"), target.unit ? element("p", { class: "note" }, `${output} in ${target.unit}.`) : null, link),
    wrong.length > 0 && card("Errors", {}, table(["#line", "what is wrong"], wrong, "Rows with errors"), job.errors.size > wrong.length ? element("p", { class: "note" }, `and ${job.errors.size - wrong.length} more; the file to download has them all.`) : null),
  ].filter(Boolean);
}
