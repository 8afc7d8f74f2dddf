/** A small picture of how a column is distributed in the training rows. */

import { drawn } from "./elements.js";

const WIDTH = 100;
const HEIGHT = 24;

/**
 * Bars of the training rows' density: by the histogram where there is one, else by deciles.
 *
 * @param {any} distribution - Of the contract.
 * @returns {{ from: number, to: number, share: number }[]}
 */
export function bins(distribution) {
  const { edges, shares, deciles } = distribution;
  if (edges?.length > 2 && shares?.length === edges.length - 1)
    return shares.map((share, i) => ({ from: edges[i], to: edges[i + 1], share })).filter((it) => it.to > it.from && Number.isFinite(it.to - it.from));
  const found = [];
  for (let i = 0; i + 1 < (deciles ?? []).length; i++) {
    // Equal deciles are one value that many rows have: their share goes to the next bar.
    const last = found.at(-1);
    if (last && last.to === last.from) [last.to, last.share] = [deciles[i + 1], last.share + 0.1];
    else found.push({ from: deciles[i], to: deciles[i + 1], share: 0.1 });
  }
  return found.filter((it) => it.to > it.from);
}

/**
 * @param {any} distribution
 * @param {number} low - Where the picture begins.
 * @param {number} high - Where it ends.
 * @returns {SVGElement}
 */
export function strip(distribution, low, high) {
  const bars = bins(distribution).map((it) => ({ ...it, density: it.share / (it.to - it.from) }));
  const tallest = Math.max(...bars.map((it) => it.density), 1e-12);
  const x = (value) => ((value - low) / (high - low || 1)) * WIDTH;
  const drawing = bars.map(({ from, to, density }) => {
    // The square root keeps low bars to be seen beside one tall one.
    const height = Math.max(1.5, Math.sqrt(density / tallest) * HEIGHT);
    return drawn("rect", { x: x(from), y: HEIGHT - height, width: Math.max(0.4, x(to) - x(from) - 0.3), height });
  });
  return drawn("svg", { class: "strip", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" }, drawing);
}
