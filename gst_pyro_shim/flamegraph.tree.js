// SPDX-License-Identifier: MIT
// The stacks of the flame graph page as trees: all of it, and elements only. Stands in the page
// before flamegraph.js.
//
// Context: the reader's browser. Touches nothing of the page but its data.
"use strict";

// frames: [name, "native" | "element" | "marker", factory, path or library or meaning];
// nodes, in preorder, largest sibling first: [frame, depth, microseconds];
// python, of all stacks of an element: [its frame, function, file, microseconds].
const { frames, nodes, python } = JSON.parse(document.getElementById("data").textContent);
// Degrees of oklch; without the yellow-greens, which are muddy beside the others.
const HUES = [230, 55, 145, 300, 25, 195, 85, 265, 345, 170];

/**
 * Start, parent, end of the subtree and enclosing element (a node) of each node; and its own time,
 * which is an element's when its functions have it.
 */
function layout(list) {
  const starts = [], parents = [], ends = [], owners = [], cursor = [0], line = [];
  const own = list.map(([, , total]) => total);
  list.forEach(([frame, depth, total], i) => {
    while (line.length > depth) ends[line.pop()] = i;
    parents[i] = depth ? line[depth - 1] : -1;
    owners[i] = frames[frame][1] === "element" ? i : depth ? owners[parents[i]] : -1;
    starts[i] = cursor[depth];
    if (depth) own[parents[i]] -= total;
    cursor[depth] += total;
    cursor[depth + 1] = starts[i];
    line.push(i);
  });
  while (line.length) ends[line.pop()] = list.length;
  owners.forEach((owner, i) => { if (owner >= 0 && owner !== i) own[owner] += own[i]; });
  return { nodes: list, starts, parents, ends, owners, own };
}

/** The same stacks without their functions. */
function elementsOf(full) {
  const root = { frame: full.nodes[0][0], depth: 0, total: full.nodes[0][2], below: new Map() };
  const kept = [root];
  for (let i = 1; i < full.nodes.length; i += 1) {
    const [frame, , total] = full.nodes[i], above = kept[full.parents[i]];
    if (frames[frame][1] !== "element") { kept[i] = above; continue; }
    const known = above.below.get(frame);
    kept[i] = known ?? { frame, depth: above.depth + 1, total: 0, below: new Map() };
    kept[i].total += total;
    if (!known) above.below.set(frame, kept[i]);
  }
  const list = [], waiting = [root];
  while (waiting.length) {
    const { frame, depth, total, below } = waiting.pop();
    list.push([frame, depth, total]);
    waiting.push(...[...below.values()].sort((one, other) => one.total - other.total));
  }
  return list;
}

/** CPU of each element frame: [frame, own microseconds], most first. */
function elementTimes() {
  const times = new Map();
  everything.owners.forEach((owner, i) => {
    const frame = everything.nodes[i][0];
    if (owner === i) times.set(frame, (times.get(frame) ?? 0) + everything.own[i]);
  });
  return [...times].sort((one, other) => other[1] - one[1]);
}

/** A hue for each element: by its name, the next free one where another element has it. */
function chooseHues() {
  const chosen = new Map(), taken = new Set();
  for (const [frame] of elementTimes()) {
    const [name, , factory] = frames[frame];
    if (!factory) continue;
    let slot = 7;
    for (const letter of name) slot = (slot * 31 + letter.codePointAt(0)) % 65521;
    slot %= HUES.length;
    if (taken.size === HUES.length) taken.clear();
    while (taken.has(slot)) slot = (slot + 1) % HUES.length;
    taken.add(slot);
    chosen.set(frame, HUES[slot]);
  }
  return chosen;
}

const everything = layout(nodes), outline = layout(elementsOf(everything));
const whole = nodes[0][2] || 1;
const hues = chooseHues();
