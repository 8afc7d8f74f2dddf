/** The row in question: a value a feature, shared by all parts of the page. */

/**
 * @typedef {number | string | null} Value - A number, a category, or null for not known.
 */

/**
 * @param {any} feature - Of the contract.
 * @returns {boolean} Whether it has categories rather than numbers.
 */
export function isCategory(feature) {
  return feature.kind === "category";
}

/**
 * @param {any} feature
 * @returns {boolean} Whether a value may be left out.
 */
export function mayBeMissing(feature) {
  return Boolean(feature.missing) && !/^refused/.test(feature.missing);
}

/**
 * @param {any} feature
 * @returns {Value} What is typical.
 */
export function typical(feature) {
  if (!isCategory(feature)) return rounded(feature, feature.training.median);
  return feature.training?.mode ?? feature.categories[0] ?? null;
}

/**
 * Where a slider moves: the training range and a tenth beyond it, within the limits.
 *
 * @param {any} feature
 * @returns {{ low: number, high: number, step: number, decimals: number }}
 */
export function scale(feature) {
  const { minimum, maximum, deciles = [] } = feature.training;
  const span = maximum - minimum || 1;
  const whole = [minimum, maximum, ...deciles].every(Number.isInteger) && span <= 1e6;
  const step = whole ? 1 : 10 ** (Math.floor(Math.log10(span)) - 2);
  const decimals = Math.max(0, -Math.floor(Math.log10(step)));
  const beyond = whole && span <= 2 ? 0 : span / 10;
  const low = Math.max(feature.minimum ?? -Infinity, Math.floor((minimum - beyond) / step) * step);
  const high = Math.min(feature.maximum ?? Infinity, Math.ceil((maximum + beyond) / step) * step);
  return { low: trim(low, decimals), high: trim(high, decimals), step, decimals };
}

/**
 * A number with no more digits than the feature's slider has.
 *
 * @param {any} feature
 * @param {number} value
 * @returns {number}
 */
export function rounded(feature, value) {
  return trim(value, scale(feature).decimals + 1);
}

/**
 * A row that tells whoever listens when it changes.
 */
export class Row extends EventTarget {
  /**
   * @param {any[]} features - Of the contract.
   * @param {Record<string, string>} texts - Values by name, from an address.
   */
  constructor(features, texts = {}) {
    super();
    this.features = features;
    /** @type {Record<string, Value>} */
    this.values = {};
    for (const feature of features) this.values[feature.name] = read(feature, texts[feature.name]);
  }

  /**
   * Change one value.
   *
   * @param {string} name
   * @param {Value} value
   */
  set(name, value) {
    this.values = { ...this.values, [name]: value };
    this.dispatchEvent(new Event("change"));
  }

  /**
   * Change all values.
   *
   * @param {Record<string, Value>} values - What it lacks becomes typical.
   */
  replace(values) {
    this.values = Object.fromEntries(this.features.map((it) => [it.name, values[it.name] === undefined ? typical(it) : values[it.name]]));
    this.dispatchEvent(new Event("change"));
  }

  /** The values as an address has them. */
  get texts() {
    return Object.fromEntries(Object.entries(this.values).map(([name, it]) => [name, it === null || Number.isNaN(it) ? "" : String(it)]));
  }

  /** The row as the service takes it: what is not known is left out. */
  get instance() {
    return Object.fromEntries(Object.entries(this.values).filter(([, it]) => it !== null));
  }

  /** Features whose values no training row had. */
  get outside() {
    return this.features.filter((it) => isOutside(it, this.values[it.name]));
  }

  /** What the service would refuse, in words; empty if nothing. */
  get problem() {
    for (const feature of this.features) {
      const value = this.values[feature.name];
      const unit = feature.unit ? ` ${feature.unit}` : "";
      if (value === null && !mayBeMissing(feature)) return `${feature.name} has no value.`;
      if (typeof value === "number" && Number.isNaN(value)) return `${feature.name} is no number.`;
      if (typeof value === "number" && (value < feature.minimum || value > feature.maximum))
        return `${feature.name} is ${value}${unit}, outside the limits ${feature.minimum} to ${feature.maximum}${unit}.`;
    }
    return "";
  }
}

/**
 * @param {any} feature
 * @param {Value} value
 * @returns {boolean} Whether no training row had such a value.
 */
export function isOutside(feature, value) {
  if (value === null) return false;
  if (isCategory(feature)) return !feature.categories.includes(value);
  const { minimum, maximum } = feature.training;
  return Number(value) < minimum || Number(value) > maximum;
}

/**
 * Read a value from text.
 *
 * @param {any} feature
 * @param {string | undefined} text
 * @returns {Value}
 */
function read(feature, text) {
  if (text === undefined) return typical(feature);
  if (text === "") return mayBeMissing(feature) ? null : typical(feature);
  if (isCategory(feature)) return text;
  return Number.isFinite(Number(text)) ? Number(text) : typical(feature);
}

function trim(value, decimals) {
  return Number(value.toFixed(Math.min(10, Math.max(0, decimals))));
}
