/** Makes elements: no markup in strings, so nothing that a model says can become markup. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * @typedef {string | number | Node | null | undefined | false} Child
 */

/**
 * Make an element.
 *
 * @param {string} name - The tag.
 * @param {Record<string, any>} [attributes] - `on...` are listeners, booleans switch.
 * @param {...(Child | Child[])} children - Texts and nodes; null and false are left out.
 * @returns {HTMLElement}
 */
export function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/**
 * Make an element of a drawing.
 *
 * @param {string} name - The tag.
 * @param {Record<string, any>} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {SVGElement}
 */
export function drawn(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

/**
 * Set what a policy forbids in markup and allows in a program.
 *
 * @template {HTMLElement} T
 * @param {T} node
 * @param {Record<string, string>} properties - CSS properties.
 * @returns {T}
 */
export function styled(node, properties) {
  for (const [name, value] of Object.entries(properties)) node.style.setProperty(name, value);
  return node;
}

/**
 * A heading with what stands below it.
 *
 * @param {string} title
 * @param {Record<string, any>} attributes - Of the card.
 * @param {...(Child | Child[])} children
 * @returns {HTMLElement}
 */
export function card(title, attributes, ...children) {
  const { class: extra = "", ...others } = attributes;
  const head = title ? element("h2", {}, title) : null;
  return element("section", { class: `card ${extra}`.trim(), ...others }, head, ...children);
}

/**
 * A table.
 *
 * @param {Child[]} head - Its columns' titles; one that begins with "#" is of numbers.
 * @param {Child[][]} rows
 * @param {string} caption - What it shows, for those who cannot see where it stands.
 * @returns {HTMLElement}
 */
export function table(head, rows, caption) {
  const numeric = head.map((it) => typeof it === "string" && it.startsWith("#"));
  const titles = head.map((it, i) =>
    element("th", { scope: "col", class: numeric[i] ? "number" : "" }, numeric[i] ? it.slice(1) : it),
  );
  const body = rows.map((row) =>
    element("tr", {}, row.map((it, i) => element("td", { class: numeric[i] ? "number" : "" }, it))),
  );
  // A wide table scrolls by itself, by keyboard too.
  return element("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": caption },
    element("table", {}, element("caption", { class: "hidden" }, caption),
      element("thead", {}, element("tr", {}, titles)), element("tbody", {}, body)));
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined && value !== "")
      node.setAttribute(name, String(value));
  }
  node.append(...children.flat().filter((it) => it !== null && it !== undefined && it !== false));
  return node;
}
