/** How numbers are shown: as many digits as their spread makes worth reading. */

/**
 * Digits behind the point that tell about a hundredth of a spread.
 *
 * @param {number} spread
 * @returns {number}
 */
export function decimalsFor(spread) {
  if (!(spread > 0)) return 2;
  return Math.min(8, Math.max(0, 2 - Math.floor(Math.log10(spread) + 1e-9)));
}

/**
 * @param {number} value
 * @param {number} decimals
 * @returns {string}
 */
export function fixed(value, decimals) {
  if (!Number.isFinite(value)) return "–";
  return value.toLocaleString("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
}

/**
 * A number with at most so many digits that count, without zeros behind them.
 *
 * @param {number} value
 * @param {number} [digits]
 * @returns {string}
 */
export function brief(value, digits = 4) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (Math.abs(value) >= 10 ** digits) return Math.round(value).toLocaleString("en");
  return String(Number(value.toPrecision(digits)));
}

/**
 * A difference, its sign always shown.
 *
 * @param {number} value
 * @param {number} decimals
 * @returns {string}
 */
export function signed(value, decimals) {
  const text = fixed(Math.abs(value), decimals);
  if (Number(Math.abs(value).toFixed(decimals)) === 0) return `±${text}`;
  return `${value < 0 ? "−" : "+"}${text}`;
}

/**
 * Seconds in the unit that suits them.
 *
 * @param {number | null} seconds
 * @returns {string}
 */
export function duration(seconds) {
  if (seconds === null || !Number.isFinite(seconds)) return "–";
  if (seconds === 0) return "0";
  if (seconds < 1e-3) return `${brief(seconds * 1e6, 3)} µs`;
  if (seconds < 1) return `${brief(seconds * 1e3, 3)} ms`;
  if (seconds < 120) return `${brief(seconds, 3)} s`;
  return seconds < 7200 ? `${brief(seconds / 60, 3)} min` : `${brief(seconds / 3600, 3)} h`;
}

/**
 * @param {string} text
 * @param {string} unit - Empty for none.
 * @param {string} [between]
 * @returns {string}
 */
export function withUnit(text, unit, between = ", ") {
  return unit ? `${text}${between}${unit}` : text;
}
