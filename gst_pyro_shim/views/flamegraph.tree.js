// SPDX-License-Identifier: MIT
// The stacks of the flame graph page as three trees: all frames, elements only, hot functions first.
//
// Context: the reader's browser. Reads the page's data and nothing else of the document, so that
// tests run it without a browser.
"use strict";

// A frame is an index into `frames`, a node one into a tree's list of nodes.
// frames: [name, "native" | "element" | "marker", factory, path or library or meaning];
// nodes, in preorder, largest sibling first: [frame, depth, microseconds];
// python, for an element in all its stacks: [its frame, function, file, microseconds];
// threads, for an element's own time: [its frame, name of the threads, how many, microseconds].
const { frames, nodes, python, threads } = JSON.parse(document.getElementById("data").textContent);
// Degrees of oklch; without the yellow-greens, which are muddy beside the others.
const HUES = [230, 55, 145, 300, 25, 195, 85, 265, 345, 170];

/**
 * A tree of nodes in preorder. It has for each node: `starts`, microseconds to its left; `parents`;
 * `ends`, the first node behind its subtree; `owners`, the node of the innermost element around it,
 * or -1; `ownerFrames`, the frame of that element; `own`, its time without its callees. An element's
 * own time includes that of its functions.
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

/** `root` and all nodes under it, in preorder, largest sibling first. `below` maps keys to nodes. */
function flatten(root) {
  const list = [], waiting = [root];
  while (waiting.length) {
    const one = waiting.pop();
    list.push(one);
    const below = [...one.below.values()].sort((left, right) => left.total - right.total);
    for (const child of below) waiting.push(child);
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

/**
 * The same stacks from the leaf on: below the root the functions by their own time, below each its
 * callers. A function that runs for two elements is two nodes.
 */
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

/** Elements as [frame, own microseconds], most first. */
function elementTimes() {
  const times = new Map();
  everything.owners.forEach((owner, i) => {
    const frame = everything.nodes[i][0];
    if (owner === i) times.set(frame, (times.get(frame) ?? 0) + everything.own[i]);
  });
  return [...times].sort((one, other) => other[1] - one[1]);
}

/** Elements as [frame, label, own microseconds], most first. Where two share a name the label is the path. */
function legendRows() {
  const rows = elementTimes(), uses = new Map();
  for (const [frame] of rows) uses.set(frames[frame][0], (uses.get(frames[frame][0]) ?? 0) + 1);
  return rows.map(([frame, own]) => {
    const [name, , , place] = frames[frame];
    return [frame, place && uses.get(name) > 1 ? place : name, own];
  });
}

/** A hue for each element, by its name; the next free hue where another element has that one. */
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
// Made when it is first shown: on the largest pages it takes half a second.
let leaves = null;
const treeOf = (view) =>
  view === "e" ? outline : view === "r" ? leaves ??= leavesOf(everything) : everything;
const whole = nodes[0][2] || 1;
const hues = chooseHues();
