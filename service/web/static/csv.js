/** Comma-separated values: read as RFC 4180 has them, and written. */

/**
 * @param {string} text
 * @returns {string[][]} Lines of cells; empty lines are left out.
 */
export function parseCsv(text) {
  const separator = separatorOf(text);
  const lines = [];
  let line = [];
  let cell = "";
  let quoted = false;
  const source = text.startsWith("\uFEFF") ? text.slice(1) : text;
  const endLine = () => {
    line.push(cell);
    if (line.length > 1 || line[0] !== "") lines.push(line);
    line = [];
    cell = "";
  };
  for (let i = 0; i < source.length; i++) {
    const it = source[i];
    if (quoted) {
      if (it !== '"') cell += it;
      else if (source[i + 1] === '"') cell += source[++i];
      else quoted = false;
    } else if (it === '"' && cell === "") quoted = true;
    else if (it === separator) {
      line.push(cell);
      cell = "";
    } else if (it === "\n") endLine();
    else if (it !== "\r" || source[i + 1] !== "\n") cell += it;
  }
  if (cell !== "" || line.length) endLine();
  return lines;
}

/**
 * @param {(string | number)[][]} lines
 * @returns {string}
 */
export function formatCsv(lines) {
  const cell = (it) => (/[",\r\n]/.test(String(it)) ? `"${String(it).replaceAll('"', '""')}"` : String(it));
  return lines.map((it) => `${it.map(cell).join(",")}\n`).join("");
}

/** The separator of the first line: spreadsheets of some countries write semicolons. */
function separatorOf(text) {
  const first = text.split("\n", 1)[0];
  const count = (it) => first.split(it).length;
  return [",", ";", "\t"].reduce((best, it) => (count(it) > count(best) ? it : best));
}
