/** The model version that the page shows: its contract, and how it is asked. */

import { ask, askIfThere, ServiceError } from "./service.js";

const DEFAULT_LEVEL = 0.9;
// What explanations are made from: a version without it has none.
const BACKGROUND = "assets.extra/background.json";

/**
 * @typedef {object} Answer
 * @property {number} value - In the target's unit.
 * @property {number | null} lower - Of the interval; null without one.
 * @property {number | null} upper
 * @property {string} version - The version that answered.
 */

/** One version of a model. */
export class Subject {
  /**
   * @param {any} model - What the service's index tells of the model.
   * @param {any} version - What it tells of the version.
   * @param {boolean} pinned - Whether requests name the version.
   */
  constructor(model, version, pinned) {
    this.model = model;
    this.version = version;
    this.path = pinned ? `${modelPath(model)}/versions/${version.version}` : modelPath(model);
    this.numbered = `${modelPath(model)}/versions/${version.version}`;
    /** @type {any} */
    this.contract = null;
    this.documents = version.documents ?? {};
    /** @type {Record<string, Promise<any>>} */
    this._kept = {};
  }

  /** Read the contract, if there is one. */
  async load() {
    if (this.documents.contract) this.contract = await askIfThere(this.documents.contract);
    return this;
  }

  /** Levels of the intervals that the version gives; none for an old one. */
  get levels() {
    return intervalLevels(this.contract);
  }

  /** Whether the version says why. */
  get isExplained() {
    return Boolean(this.contract?.files?.[BACKGROUND]);
  }

  /**
   * Ask for predictions.
   *
   * @param {any[]} instances
   * @param {{ level?: number | null, signal?: AbortSignal, real?: boolean }} [options]
   *     Rows that are no real cases are not held against the training's, and not logged.
   * @returns {Promise<Answer[]>}
   */
  async predict(instances, { level = null, signal, real = false } = {}) {
    const body = level === null ? { instances } : { instances, level };
    const headers = real ? {} : { "X-Observe": "no" };
    const { answer, version } = await ask(`${this.path}:predict`, { body, headers, signal });
    return answer.predictions.map((it) => readAnswer(it, this.contract, version));
  }

  /**
   * What each feature adds to a prediction.
   *
   * @param {any} instance
   * @returns {Promise<any>} The explanation, or null for a version that gives none.
   */
  async explain(instance) {
    if (!this.isExplained) return null;
    try {
      const { answer } = await ask(`${this.path}:explain`, { body: { instances: [instance] } });
      return answer.explanations[0];
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      return null;
    }
  }

  /** Rows that the version brings along: `{ source, instances, predictions, truths }` or null. */
  examples() {
    return this._once("examples", () => (this.documents.examples ? askIfThere(this.documents.examples) : Promise.resolve(null)));
  }

  /** How the prediction goes with each feature, as the service has computed it; or null. */
  partialDependence() {
    return this._once("dependence", () => (this.isExplained ? askIfThere(`${this.numbered}/partial_dependence`) : Promise.resolve(null)));
  }

  _once(name, make) {
    this._kept[name] ??= make();
    return this._kept[name];
  }
}

/**
 * @param {any} contract - Or null.
 * @returns {number[]} Levels of its intervals, ascending.
 */
export function intervalLevels(contract) {
  const told = contract?.intervals;
  if (!told) return [];
  const list = Array.isArray(told) ? told : (told.levels ?? []);
  const levels = Array.isArray(list) ? list.map((it) => Number(it.level ?? it)) : Object.keys(list).map(Number);
  return levels.filter((it) => it > 0 && it < 1).sort((a, b) => a - b);
}

/**
 * @param {number[]} levels
 * @returns {number | null} The level to begin with.
 */
export function usualLevel(levels) {
  if (levels.length === 0) return null;
  return levels.includes(DEFAULT_LEVEL) ? DEFAULT_LEVEL : levels[0];
}

/**
 * @param {any} model - What the index tells of a model.
 * @returns {string} Where it is asked.
 */
export function modelPath(model) {
  return model.predict.replace(/:predict$/, "");
}

/**
 * Read one prediction: a number, or an object of the outputs.
 *
 * @param {any} told
 * @param {any} contract
 * @param {string} version
 * @returns {Answer}
 */
export function readAnswer(told, contract, version) {
  if (told === null || typeof told !== "object") return { value: Number(told), lower: null, upper: null, version };
  const value = Array.isArray(told) ? told.flat(Infinity)[0] : told[contract?.output ?? "price"];
  return { value: Number(value), lower: told.lower ?? null, upper: told.upper ?? null, version };
}
