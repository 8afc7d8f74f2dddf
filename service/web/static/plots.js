/** Pictures with axes, drawn by uPlot in the page's own colours. */

import { element } from "./elements.js";
import { brief } from "./numbers.js";

// Seconds between ticks of a time axis.
const SECONDS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];

/** @type {Promise<any> | null} */
let library = null;

/** Read uPlot and its style once the first picture is wanted. */
function load() {
  library ??= Promise.all([import("./uplot/uPlot.esm.js"), style()]).then(([it]) => it.default);
  return library;
}

function style() {
  return new Promise((resolve) => {
    const link = element("link", { rel: "stylesheet", href: new URL("./uplot/uPlot.min.css", import.meta.url).href });
    link.addEventListener("load", resolve);
    link.addEventListener("error", resolve);
    document.head.append(link);
  });
}

/**
 * @param {string} name - Of the page's colours.
 * @returns {string}
 */
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/**
 * @typedef {object} Series
 * @property {string} label
 * @property {string} colour - One of the page's.
 * @property {boolean} [points] - Dots instead of a line.
 * @property {boolean} [thin]
 * @property {number[]} [dash]
 */

/**
 * A picture that keeps to the width of its place and to the theme.
 *
 * @param {object} options
 * @param {string} options.title - What it shows, for those who cannot see it.
 * @param {string} options.x - What the axis is of.
 * @param {string} options.y
 * @param {Series[]} options.series
 * @param {boolean} [options.time] - The axis is of seconds since 1970.
 * @param {boolean} [options.legend] - Whether the lines are named below.
 * @param {number} [options.height]
 * @param {(value: number) => string} [options.format] - Of the numbers at the left.
 * @param {[number | null, number | null]} [options.range] - Of the numbers at the left.
 * @param {(u: any) => void} [options.behind] - Draws behind the lines.
 * @param {(string | number | null)[][]} data - As uPlot takes it: x, then a list a series.
 */
export function plot(options, data) {
  const place = element("div", { class: "plot" });
  const node = element("figure", { class: "figure", role: "img", "aria-label": options.title }, element("figcaption", {}, options.title), place);
  let chart = null;
  let current = data;
  let left = false;

  async function draw() {
    const uPlot = await load();
    if (left || !place.clientWidth) return;
    chart?.destroy();
    chart = new uPlot(settings(uPlot, options, place.clientWidth), current, place);
  }
  const sizes = new ResizeObserver(() => {
    if (chart) chart.setSize({ width: place.clientWidth, height: options.height ?? 220 });
    else draw();
  });
  const theme = matchMedia("(prefers-color-scheme: dark)");
  sizes.observe(place);
  theme.addEventListener("change", draw);
  return {
    node,
    /** @param {any[]} next */
    set(next) {
      current = next;
      chart?.setData(next);
    },
    redraw: draw,
    leave() {
      left = true;
      sizes.disconnect();
      theme.removeEventListener("change", draw);
      chart?.destroy();
    },
  };
}

function settings(uPlot, options, width) {
  const axis = (label, format) => ({
    label,
    labelSize: 18,
    labelFont: "12px system-ui, sans-serif",
    font: "12px system-ui, sans-serif",
    stroke: colour("soft"),
    grid: { stroke: colour("line"), width: 1 },
    ticks: { stroke: colour("line"), width: 1 },
    ...(format ? { values: (_, ticks) => ticks.map((it) => (it === null ? "" : format(it))) } : {}),
  });
  const lines = options.series.map(({ label, colour: name, points, thin, dash }) => ({
    label,
    stroke: colour(name),
    width: points ? 0 : thin ? 1 : 2,
    dash,
    paths: points ? () => null : undefined,
    points: { show: points === true, size: 6, stroke: colour(name), fill: colour(name) },
    value: (_, it) => brief(it),
  }));
  return {
    width,
    height: options.height ?? 220,
    series: [{ label: options.x, value: options.time ? undefined : (_, it) => brief(it) }, ...lines],
    scales: { x: { time: options.time === true, range: options.time ? lastMinute : undefined }, y: { range: padded(options.range) } },
    axes: [options.time ? { ...axis(undefined, clock), size: 34, space: 80, incrs: SECONDS } : { ...axis(options.x), size: 34 }, { ...axis(options.y, options.format ?? brief), size: 58 }],
    legend: { show: options.legend === true, live: false },
    cursor: { drag: { x: false, y: false }, points: { show: !options.series.every((it) => it.points) } },
    hooks: options.behind ? { drawClear: [options.behind] } : {},
  };
}

/** The axis shows a minute at least. */
function lastMinute(_, from, to) {
  const end = to ?? Date.now() / 1000;
  return [Math.min(from ?? end, end - 60), end];
}

function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString("en-GB");
}

function padded([low, high] = [null, null]) {
  return (_, least, greatest) => {
    const from = least ?? 0;
    const to = greatest ?? 1;
    const beyond = (to - from || Math.abs(to) || 1) * 0.06;
    return [low ?? from - beyond, high ?? to + beyond];
  };
}
