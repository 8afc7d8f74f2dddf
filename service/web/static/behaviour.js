/** The part "How it behaves": the prediction against each feature, and against the truth. */

import { card, element } from "./elements.js";
import { latestOnly } from "./latest.js";
import { decimalsFor, fixed, withUnit } from "./numbers.js";
import { colour, plot } from "./plots.js";
import { bar } from "./reasons.js";
import { isCategory } from "./row.js";
import { ServiceError } from "./service.js";
import { bins } from "./strip.js";

// Each step is a row that is asked for, and counted like any other: no more than a curve needs.
const STEPS = 24;
const ROWS_AVERAGED = 100;
const CATEGORIES_SHOWN = 12;

/**
 * @param {HTMLElement} root
 * @param {import("./page.js").Context} context
 * @returns {() => void} Leaves it.
 */
export function show(root, context) {
  const { subject, row } = context;
  const { contract } = subject;
  const pictures = element("div", { class: "pictures" });
  const against = element("div", {});
  const note = element("p", { class: "note" });
  root.append(
    card("What one feature does", {},
      element("p", { class: "note" }, `The line: the mean ${contract.target.name} over many rows when all have this value. Dashed: the row of “Try it” with this value. Bars: the training data.`),
      pictures, note),
    against);
  const made = contract.features.map((feature) => dependence(subject, row, feature));
  pictures.append(...made.map((it) => it.node));
  let truth = null;
  const fill = latestOnly(async () => {
    try {
      const curves = await averages(subject);
      for (const it of made) await it.fill(curves[it.name]);
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      note.textContent = error.message;
    }
  });
  fill();
  subject.examples().then((found) => {
    truth = found?.truths ? truthPicture(subject, found) : null;
    if (truth) against.append(truth.node);
  });
  return () => [...made, truth].forEach((it) => it?.leave());
}

/**
 * @typedef {{ grid: (number | string)[], values: number[] }} Curve
 */

/**
 * Read what the service has computed, whichever way it lists the features.
 *
 * @param {any} told
 * @param {string} output
 * @returns {Record<string, Curve>}
 */
export function readCurves(told, output) {
  const list = told?.features ?? told?.partial_dependence ?? told ?? {};
  const pairs = Array.isArray(list) ? list.map((it) => [it.feature ?? it.name, it]) : Object.entries(list);
  return Object.fromEntries(pairs.filter(([, it]) => Array.isArray(it?.grid)).map(([name, it]) => [name, { grid: it.grid, values: it[output] ?? it.price ?? it.values }]));
}

/** The mean over many rows: as the service tells, else asked for here, row by row. */
async function averages(subject) {
  const told = readCurves(await subject.partialDependence(), subject.contract.output);
  if (Object.keys(told).length) return told;
  const examples = await subject.examples();
  const rows = (examples?.instances ?? []).slice(0, ROWS_AVERAGED);
  const curves = {};
  for (const feature of subject.contract.features) {
    const grid = gridOf(feature);
    if (rows.length === 0) continue;
    const answers = await subject.predict(grid.flatMap((value) => rows.map((it) => ({ ...it, [feature.name]: value }))));
    const values = grid.map((_, i) => mean(answers.slice(i * rows.length, (i + 1) * rows.length).map((it) => it.value)));
    curves[feature.name] = { grid, values };
  }
  return curves;
}

function mean(values) {
  return values.reduce((sum, it) => sum + it, 0) / values.length;
}

function gridOf(feature) {
  if (isCategory(feature)) return feature.categories;
  const { minimum, maximum } = feature.training;
  return Array.from({ length: STEPS + 1 }, (_, i) => minimum + ((maximum - minimum) * i) / STEPS);
}

function dependence(subject, row, feature) {
  return isCategory(feature) ? byCategory(subject, feature) : byNumber(subject, row, feature);
}

function titled({ name, meaning }) {
  return meaning === name ? name : `${name}: ${meaning}`;
}

function byNumber(subject, row, feature) {
  const { target } = subject.contract;
  const picture = plot({
    title: titled(feature),
    x: [feature.name, feature.unit].filter(Boolean).join(", "),
    y: target.unit,
    series: [
      { label: `mean ${target.name}`, colour: "warm" },
      { label: "this row", colour: "cool", dash: [6, 4] },
    ],
    behind: (u) => bars(u, feature.training),
  }, [[], [], []]);
  return {
    name: feature.name,
    node: picture.node,
    leave: picture.leave,
    async fill(curve) {
      const grid = /** @type {number[]} */ (curve?.grid ?? gridOf(feature));
      const own = row.problem ? null : await subject.predict(grid.map((value) => ({ ...row.instance, [feature.name]: value })));
      picture.set([grid, curve?.values ?? grid.map(() => null), own?.map((it) => it.value) ?? grid.map(() => null)]);
    },
  };
}

function byCategory(subject, feature) {
  const decimals = decimalsFor(subject.contract.target.training.std || 1);
  const list = element("ul", { class: "reasons" });
  const note = element("p", { class: "note" });
  const node = element("figure", { class: "figure" }, element("figcaption", {}, titled(feature)), element("div", {}, list, note));
  return {
    name: feature.name,
    node,
    leave() {},
    async fill(curve) {
      if (!curve) return;
      const middle = mean(curve.values);
      const largest = Math.max(...curve.values.map((it) => Math.abs(it - middle)), 1e-9);
      const lines = curve.values.map((it, i) => bar(String(curve.grid[i]), it - middle, largest, fixed(it, decimals)));
      list.replaceChildren(...lines.slice(0, CATEGORIES_SHOWN));
      note.textContent = lines.length > CATEGORIES_SHOWN ? `The ${CATEGORIES_SHOWN} most frequent of ${lines.length}. ` : "";
      note.textContent += "Bars: above or below the mean of these categories.";
    },
  };
}

/** The training data's histogram along the foot of a picture. */
function bars(u, distribution) {
  const { left, top, width, height } = u.bbox;
  const found = bins(distribution).map((it) => ({ ...it, density: it.share / (it.to - it.from) }));
  const tallest = Math.max(...found.map((it) => it.density), 1e-12);
  u.ctx.save();
  u.ctx.beginPath();
  u.ctx.rect(left, top, width, height);
  u.ctx.clip();
  u.ctx.fillStyle = colour("strip");
  for (const { from, to, density } of found) {
    const x = u.valToPos(from, "x", true);
    const tall = Math.sqrt(density / tallest) * height * 0.3;
    u.ctx.fillRect(x, top + height - tall, Math.max(1, u.valToPos(to, "x", true) - x - 1), tall);
  }
  u.ctx.restore();
}

function truthPicture(subject, { predictions, truths }) {
  const { target } = subject.contract;
  const order = [...truths.keys()].sort((a, b) => truths[a] - truths[b]);
  const least = Math.min(...truths, ...predictions);
  const greatest = Math.max(...truths, ...predictions);
  const sorted = order.map((i) => truths[i]);
  const picture = plot({
    title: `Prediction against truth, one dot a test row (${truths.length})`,
    x: withUnit(`true ${target.name}`, target.unit),
    y: "predicted",
    height: 340,
    series: [{ label: "test rows", colour: "warm", points: true }],
    range: [least - (greatest - least) * 0.05, greatest + (greatest - least) * 0.05],
    behind: (u) => diagonal(u, least, greatest),
  }, [sorted, order.map((i) => predictions[i])]);
  const errors = truths.map((it, i) => Math.abs(it - predictions[i]));
  const worst = errors.indexOf(Math.max(...errors));
  const node = card("Against the truth", {},
    element("p", { class: "note" }, "On the line is right. None of these rows was trained on."),
    picture.node,
    element("p", { class: "note" }, `${target.name} wrong by ${withUnit(mean(errors).toFixed(2), target.unit, " ")} in the mean, at worst by ${errors[worst].toFixed(2)} (${predictions[worst].toFixed(1)} for ${truths[worst].toFixed(1)}).`));
  return { node, leave: picture.leave };
}

function diagonal(u, from, to) {
  const { ctx } = u;
  ctx.save();
  ctx.strokeStyle = colour("soft");
  ctx.setLineDash([6, 6]);
  ctx.beginPath();
  ctx.moveTo(u.valToPos(from, "x", true), u.valToPos(from, "y", true));
  ctx.lineTo(u.valToPos(to, "x", true), u.valToPos(to, "y", true));
  ctx.stroke();
  ctx.restore();
}
