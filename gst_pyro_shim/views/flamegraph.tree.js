// SPDX-License-Identifier: MIT
// The stacks of the flame graph page as trees: all of it, elements only, hot functions first. Stands
// in the page before flamegraph.js.
//
// Context: the reader's browser. Touches nothing of the page but its data.
"use strict";

// frames: [name, "native" | "element" | "marker", factory, path or library or meaning];
// nodes, in preorder, largest sibling first: [frame, depth, microseconds];
// python, of all stacks of an element: [its frame, function, file, microseconds];
// threads, of an element's own time: [its frame, name of the threads, how many, microseconds].
const { frames, nodes, python, threads } = JSON.parse(document.getElementById("data").textContent);
// Degrees of oklch; without the yellow-greens, which are muddy beside the others.
const HUES = [230, 55, 145, 300, 25, 195, 85, 265, 345, 170];

/**
 * Start, parent, end of the subtree, enclosing element (a node) and that one's frame of each node;
 * and its own time, which is an element's when its functions have it.
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
  const ownerFrames = owners.map((owner) => owner < 0 ? -1 : list[owner][0]);
  return { nodes: list, starts, parents, ends, owners, ownerFrames, own };
}

/** A tree of {below} as a list of its nodes in preorder, largest sibling first. */
function flatten(root) {
  const list = [], waiting = [root];
  while (waiting.length) {
    const one = waiting.pop();
    list.push(one);
    waiting.push(...[...one.below.values()].sort((left, right) => left.total - right.total));
  }
  return list;
}

const asNode = ({ frame, depth, total }) => [frame, depth, total];

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
  return flatten(root).map(asNode);
}

/** The same stacks from the leaf on: a function apart for each element, its callers below it. */
function leavesOf(full) {
  const [first, , whole] = full.nodes[0];
  const root = { frame: first, owner: -1, depth: 0, total: whole, below: new Map() };
  const self = full.nodes.map(([, , total]) => total);
  full.nodes.forEach(([, , total], i) => { if (i) self[full.parents[i]] -= total; });
  self.forEach((own, leaf) => {
    if (own < 0.5) return;
    for (let i = leaf, at = root; i > 0; i = full.parents[i]) {
      const frame = full.nodes[i][0], owner = full.ownerFrames[i], key = `${frame} ${owner}`;
      if (!at.below.has(key)) {
        at.below.set(key, { frame, owner, depth: at.depth + 1, total: 0, below: new Map() });
      }
      at = at.below.get(key);
      at.total += own;
    }
  });
  const list = flatten(root);
  return { ...layout(list.map(asNode)), ownerFrames: list.map(({ owner }) => owner), own: null };
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
// Made when it is first looked at: on the largest pages it takes half a second.
let leaves = null;
const treeOf = (view) =>
  view === "e" ? outline : view === "r" ? leaves ??= leavesOf(everything) : everything;
const whole = nodes[0][2] || 1;
const hues = chooseHues();
