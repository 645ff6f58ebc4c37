// SPDX-License-Identifier: MIT
// What the flame graph page shows now (tree, zoom, bars that are wide enough) and what a node is, in
// words.
//
// Context: the reader's browser. Does not touch the document, so that tests run it without a browser.
"use strict";

const SMALLEST_PX = 0.6;

// `zoomed` is the node that fills the width; `current` is the one that has the keyboard's focus.
let tree = everything, zoomed = 0, current = 0;

const seconds = (part) => `${(Math.max(0, part) / 1e6).toFixed(3)} s`;
const percent = (part, of = whole) => `${((100 * Math.max(0, part)) / of).toFixed(1)} %`;
const plural = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;
const times = (part) => `${seconds(part)}, ${percent(part)}`;

/** Frame of the element that a node runs for, or -1. */
const ownerOf = (i) => tree.ownerFrames[i];

/** Python functions of a node that is an element, or that runs an element's Python code. */
function pythonOf(i) {
  const [name, kind] = frames[tree.nodes[i][0]], owner = ownerOf(i);
  return kind === "element" || name === "[python]" ? python.filter(([of]) => of === owner) : [];
}

/** What a node is. */
function kindOf(i) {
  const [, kind, factory, place] = frames[tree.nodes[i][0]];
  const owner = ownerOf(i);
  if (kind === "marker") return place;
  if (kind === "element") return factory ? `element, ${factory}, ${place}` : "CPU of no element";
  return `function${place && ` in ${place}`}${owner < 0 ? "" : `, for ${frames[owner][0]}`}`;
}

/** A node with its times. */
function describe(i) {
  const [frame, , total] = tree.nodes[i];
  const self = tree.own ? `; self ${times(tree.own[i])}` : "";
  return `${frames[frame][0]} (${kindOf(i)}): ${times(total)}${self}`;
}

/** Shows what an address says: "#12": zoomed on node 12; "#e3": elements only; "#r3": hot functions first. */
function follow(hash) {
  const [, view, number] = /^#([er]?)(\d+)$/.exec(hash) ?? [null, "", "0"];
  tree = treeOf(view);
  zoomed = current = Number(number) < tree.nodes.length ? Number(number) : 0;
}

/** Bars in a graph of `px` as [node, left, width]. The callers of the zoomed node have the full width. */
function visibleBars(px) {
  const bars = [], from = tree.starts[zoomed], scale = px / (tree.nodes[zoomed][2] || 1);
  for (let i = tree.parents[zoomed]; i >= 0; i = tree.parents[i]) bars.push([i, 0, px]);
  for (let i = zoomed; i < tree.ends[zoomed];) {
    const width = i === zoomed ? px : tree.nodes[i][2] * scale;
    // No callee is wider than its caller.
    if (width < SMALLEST_PX) { i = tree.ends[i]; continue; }
    bars.push([i, (tree.starts[i] - from) * scale, width]);
    i += 1;
  }
  return bars;
}

/** Where an arrow key leads: to the caller, the largest callee, the next or the last sibling; or -1. */
function neighbour(i, key) {
  const { parents, ends } = tree;
  if (key === "ArrowUp") return parents[i];
  if (key === "ArrowDown") return i + 1 < ends[i] ? i + 1 : -1;
  if (key === "ArrowRight") return i !== zoomed && ends[i] < ends[parents[i]] ? ends[i] : -1;
  for (let one = parents[i] + 1; i > 0 && one < i; one = ends[one]) if (ends[one] === i) return one;
  return -1;
}
