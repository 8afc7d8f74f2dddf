/** The address behind "#": which model, version and part are shown, and the row in question. */

/**
 * @typedef {object} Address
 * @property {string} model - Empty for the first.
 * @property {string} part - Empty for the first.
 * @property {string} version - Empty for the one that answers where none is named.
 * @property {Record<string, string>} values - Of features, as text; empty for not known.
 */

const VERSION = "@version";

/**
 * @param {string} hash - `#/MODEL/PART?RM=6.1&...`
 * @returns {Address}
 */
export function parseAddress(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const [model = "", part = ""] = path.split("/").map(decoded);
  const { [VERSION]: version = "", ...values } = Object.fromEntries(new URLSearchParams(query));
  return { model, part, version, values };
}

/**
 * @param {Address} address
 * @returns {string} The text that `parseAddress` reads.
 */
export function formatAddress({ model, part, version, values }) {
  const query = new URLSearchParams(values);
  if (version) query.set(VERSION, version);
  const text = query.toString();
  return `#/${encodeURIComponent(model)}/${encodeURIComponent(part)}${text ? `?${text}` : ""}`;
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
