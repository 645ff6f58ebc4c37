// SPDX-License-Identifier: MIT
// The trees, the search and the choice of bars of the flame graph page, without a browser.
//
// Context: tests, run by `node --test` (test_page_script.py).
import assert from "node:assert/strict";
import test from "node:test";

import { called, countBlocks, element, load, marker, pack } from "./page_script.mjs";

const SOURCE = element("source"), CODER = element("coder", "x264enc");
const MAIN = element("[main thread]", "");
const PUSH = called("push", "libgst.so"), ENCODE = called("encode", "libx264.so");
const NO_SAMPLE = marker("[no sample]", "measured, but not sampled");

/** The coder has 1.5 s within the source and 0.5 s on a thread of its own. */
const DEMO = pack([
  [[SOURCE, PUSH, CODER, ENCODE], 1_500_000],
  [[CODER, ENCODE], 500_000],
  [[SOURCE, PUSH], 900_000],
  [[MAIN, NO_SAMPLE], 100_000],
]);
const WHOLE = 3_000_000;

/** Numbers that are the same in each run: a counter, hashed. */
function* numbers(seed) {
  for (let i = seed; ; i += 1) {
    const x = Math.imul(i ^ (i >>> 16), 0x45d9f3b);
    yield Math.imul(x ^ (x >>> 16), 0x45d9f3b) >>> 8;
  }
}

/** Stacks of elements within elements, and of functions that several elements call. */
function someStacks(count, functions = 6) {
  const from = numbers(1), next = (below) => from.next().value % below;
  return Array.from({ length: count }, () => {
    const stack = [];
    for (let i = 0; i <= next(3); i += 1) {
      stack.push(next(9) ? element(`element${next(40)}`) : MAIN);
      for (let j = 0; j < next(functions); j += 1) stack.push(called(`function${next(300)}`));
    }
    return [stack, 1 + next(1000)];
  });
}

/** The nodes of a tree as "  name total", indented by depth. */
const outline = (run, tree) =>
  run(`${tree}.nodes.map(([frame, depth, total]) => " ".repeat(depth) + frames[frame][0] + " " + total)`);

test("all frames: start, parent, end, element and own time of each node", () => {
  const run = load(DEMO);
  assert.deepEqual(outline(run, "everything"), [
    "all 3000000",
    " source 2400000",
    "  push 2400000",
    "   coder 1500000",
    "    encode 1500000",
    " coder 500000",
    "  encode 500000",
    " [main thread] 100000",
    "  [no sample] 100000",
  ]);
  assert.deepEqual(run("everything.starts"), [0, 0, 0, 0, 0, 2.4e6, 2.4e6, 2.9e6, 2.9e6]);
  assert.deepEqual(run("everything.parents"), [-1, 0, 1, 2, 3, 0, 5, 0, 7]);
  assert.deepEqual(run("everything.ends"), [9, 5, 5, 5, 5, 7, 7, 9, 9]);
  assert.deepEqual(run("everything.owners"), [-1, 1, 1, 3, 3, 5, 5, 7, 7]);
  // An element's own time is that of its functions, without the elements that these call.
  assert.deepEqual(run("everything.own"), [0, 900000, 900000, 1.5e6, 1.5e6, 5e5, 5e5, 1e5, 1e5]);
});

test("elements only: functions go, and what they held apart is one", () => {
  assert.deepEqual(outline(load(DEMO), "outline"), [
    "all 3000000", " source 2400000", "  coder 1500000", " coder 500000", " [main thread] 100000",
  ]);
  const apart = load(pack([
    [[SOURCE, PUSH, CODER], 10],
    [[SOURCE, called("other"), CODER, ENCODE], 5],
    [[PUSH, CODER], 3],
  ]));
  assert.deepEqual(outline(apart, "outline"), ["all 18", " source 15", "  coder 15", " coder 3"]);
});

test("hot functions: the leaves by their own time, their callers below them", () => {
  const run = load(DEMO);
  run("follow('#r0')");
  assert.deepEqual(outline(run, "tree"), [
    "all 3000000",
    " encode 2000000",
    "  coder 2000000",
    "   push 1500000",
    "    source 1500000",
    " push 900000",
    "  source 900000",
    " [no sample] 100000",
    "  [main thread] 100000",
  ]);
});

test("hot functions: one that runs for two elements is two nodes", () => {
  const run = load(pack([[[SOURCE, PUSH], 20], [[CODER, PUSH], 10]]));
  run("follow('#r0')");
  assert.deepEqual(outline(run, "tree"), [
    "all 30", " push 20", "  source 20", " push 10", "  coder 10",
  ]);
  assert.deepEqual(
    run("tree.ownerFrames.map((one) => one < 0 ? '' : frames[one][0])"),
    ["", "source", "source", "coder", "coder"],
  );
});

for (const view of ["", "e", "r"]) {
  test(`tree "${view}": no time is lost or added, and the largest sibling is first`, () => {
    const stacks = someStacks(2000), run = load(pack(stacks));
    run(`follow('#${view}0')`);
    const { nodes, parents, ends, starts } = run("tree");
    assert.equal(nodes[0][2], stacks.reduce((sum, [, time]) => sum + time, 0));
    const inside = nodes.map(() => 0), last = nodes.map(() => Infinity);
    nodes.forEach(([, depth, total], i) => {
      if (i === 0) return;
      const parent = parents[i];
      assert.equal(depth, nodes[parent][1] + 1);
      assert.ok(parent < i && i < ends[i] && ends[i] <= ends[parent]);
      assert.equal(starts[i], starts[parent] + inside[parent]);
      assert.ok(total <= last[parent]);
      inside[parent] += total;
      last[parent] = total;
    });
    nodes.forEach(([, , total], i) => assert.ok(inside[i] <= total));
    // Below the root of the hot functions is all of their own time.
    if (view === "r") assert.equal(inside[0], nodes[0][2]);
  });
}

test("the elements' own times are what their stacks have, however they are cut into trees", () => {
  const stacks = someStacks(2000), run = load(pack(stacks)), expected = new Map();
  for (const [stack, time] of stacks) {
    const [name] = stack.findLast(([, kind]) => kind === "element");
    expected.set(name, (expected.get(name) ?? 0) + time);
  }
  const found = run("elementTimes().map(([frame, own]) => [frames[frame][0], own])");
  assert.deepEqual(new Map(found), expected);
  const own = found.map(([, time]) => time);
  assert.deepEqual(own, [...own].sort((a, b) => b - a));
});

test("elements that share a name have their paths in the legend", () => {
  const twin = ["coder", "element", "x265enc", "/other/coder"];
  const run = load(pack([[[CODER], 3], [[twin], 2], [[SOURCE], 1]]));
  assert.deepEqual(run("legendRows().map(([, label]) => label)"), [
    "/pipeline0/coder", "/other/coder", "source",
  ]);
});

test("ten elements have ten hues, and CPU of no element has none", () => {
  const stacks = Array.from({ length: 10 }, (_, i) => [[element(`e${i}`)], 10 - i]);
  const run = load(pack([...stacks, [[MAIN], 1]]));
  assert.equal(run("new Set(hues.values()).size"), 10);
  assert.equal(run("hues.has(frames.findIndex(([name]) => name === '[main thread]'))"), false);
  const again = load(pack([...stacks.slice(0, 3), [[element("more")], 100]]));
  assert.equal(again("hues.size"), 4);
});

test("the search looks at names, factories and places, in any case", () => {
  const run = load(DEMO);
  const count = (text) => run(`setSearch(${JSON.stringify(text)}, -1); findAll().places.length`);
  assert.deepEqual(["ENCODE", " x264 ", "libgst", "pipeline0/s", "nowhere", ""].map(count), [
    2, 4, 1, 1, 0, 0,
  ]);
  run("setSearch('ENCODE ', -1)");
  assert.equal(run("statusLine()"), "“ENCODE”: 2 places, total 2.000 s, 66.7 %");
});

test("a match inside another one adds no time", () => {
  const run = load(DEMO);
  assert.deepEqual(run("setSearch('pipeline0', -1); findAll()"), { places: [1, 3, 5], total: 2.9e6 });
});

test("Enter leads from match to match and begins anew", () => {
  const run = load(DEMO);
  run("setSearch('encode', -1)");
  assert.deepEqual(run("[nextMatch(), nextMatch(), nextMatch()]"), [4, 6, 4]);
  assert.equal(run("setSearch('nowhere', -1); nextMatch()"), -1);
  assert.equal(run("setSearch('', 1); nextMatch()"), -1);
});

test("an element that is picked is marked with its functions, in all places", () => {
  const run = load(DEMO);
  run("setSearch('', frames.findIndex(([name]) => name === 'coder'))");
  assert.deepEqual(run("findAll()"), { places: [3, 4, 5, 6], total: 2e6 });
  const self = "coder (x264enc, /pipeline0/coder): self 2.000 s, 66.7 %";
  assert.equal(run("statusLine()"), `${self}; total 2.000 s, 66.7 %`);
  run("follow('#r0')");
  assert.equal(run("statusLine()"), self);
});

test("the place where an element runs Python is marked for its Python functions", () => {
  const data = pack([[[CODER, called("[python]", ""), called("memcpy")], 10]]);
  data.python = [[data.frames.findIndex(([name]) => name === "coder"), "do_handle", "a/b.py", 7]];
  const run = load(data);
  run("setSearch('do_handle', -1)");
  assert.deepEqual(run("[0, 1, 2, 3].map(isMarked)"), [false, false, true, false]);
  assert.match(run("statusLine()"), /^“do_handle”: 0 places, .*; Python do_handle in coder: 0\.000 s/);
});

test("bars that are too small are left out, with all that is in them", () => {
  const run = load(pack([[[SOURCE], 9_990], [[CODER, ENCODE], 6], [[MAIN, PUSH], 4]]));
  const names = (px) => run(`visibleBars(${px}).map(([i]) => frames[tree.nodes[i][0]][0])`);
  assert.deepEqual(names(1000), ["all", "source", "coder", "encode"]);
  assert.deepEqual(names(10), ["all", "source"]);
  // Zoomed on, a small one fills the width.
  run("follow('#4')");
  assert.deepEqual(run("visibleBars(10)"), [[0, 0, 10], [4, 0, 10], [5, 0, 10]]);
});

test("bars stand side by side, as wide as their time", () => {
  const run = load(DEMO);
  assert.deepEqual(run("visibleBars(300)"), [
    [0, 0, 300], [1, 0, 240], [2, 0, 240], [3, 0, 150], [4, 0, 150],
    [5, 240, 50], [6, 240, 50], [7, 290, 10], [8, 290, 10],
  ]);
});

test("an address that means nothing shows all", () => {
  const run = load(DEMO);
  for (const [hash, zoomed, view] of [
    ["#3", 3, "everything"], ["#e2", 2, "outline"], ["#r1", 1, "leaves"], ["", 0, "everything"],
    ["#9", 0, "everything"], ["#e5", 0, "outline"], ["#x1", 0, "everything"], ["#1e9", 0, "everything"],
    ["#-1", 0, "everything"], ["#<b>", 0, "everything"],
  ]) {
    run(`follow(${JSON.stringify(hash)})`);
    assert.deepEqual(run(`[zoomed, current, tree === ${view}]`), [zoomed, zoomed, true], hash);
  }
});

test("arrow keys lead to caller, largest callee and siblings, and nowhere at an edge", () => {
  const run = load(DEMO), step = (i, key) => run(`neighbour(${i}, "Arrow${key}")`);
  assert.deepEqual([0, 1, 5, 8].map((i) => step(i, "Up")), [-1, 0, 0, 7]);
  assert.deepEqual([0, 1, 5, 8].map((i) => step(i, "Down")), [1, 2, 6, -1]);
  assert.deepEqual([0, 1, 5, 7].map((i) => step(i, "Right")), [-1, 5, 7, -1]);
  assert.deepEqual([0, 1, 5, 7].map((i) => step(i, "Left")), [-1, -1, 1, 5]);
});

test("a profile without CPU time says so", () => {
  const run = load(pack([]));
  assert.equal(run("statusLine()"), "The profile holds no CPU time.");
  assert.deepEqual(run("visibleBars(100)"), [[0, 0, 100]]);
  for (const view of ["e", "r"]) assert.deepEqual(run(`follow('#${view}0'); tree.nodes`), [[0, 0, 0]]);
});

test("stacks of a hundred thousand frames are no trouble", () => {
  const deep = Array.from({ length: 100_000 }, (_, i) => called(`f${i}`));
  const run = load(pack([[[CODER, ...deep], 10]]));
  for (const view of ["", "e", "r"]) run(`follow('#${view}0'); findAll(); visibleBars(1000)`);
  assert.equal(run("tree.nodes.length"), 100_002);
});

test("a hundred thousand siblings are no trouble", () => {
  const wide = Array.from({ length: 100_000 }, (_, i) => [[CODER, called(`f${i}`)], 1 + (i % 7)]);
  const run = load(pack(wide));
  for (const view of ["", "e", "r"]) run(`follow('#${view}0'); findAll()`);
  assert.equal(run("tree.nodes.length"), 200_001);
  // However many there are, no row has more bars than the width has room for.
  assert.ok(run("follow('#0'); visibleBars(1000).length") < 2 + 1000 / run("SMALLEST_PX"));
});

test("the work grows with the frames of all stacks, not with their square", () => {
  function blocksPerFrame(count) {
    const stacks = someStacks(count, 3), data = pack(stacks);
    const size = stacks.reduce((sum, [stack]) => sum + stack.length, 0);
    return countBlocks(() => {
      const run = load(data);
      for (const view of ["", "e", "r"]) {
        run(`follow('#${view}0'); setSearch('function1', -1); statusLine(); legendRows(); 0`);
      }
      return run;
    }) / size;
  }
  const few = blocksPerFrame(10_000), many = blocksPerFrame(100_000);
  assert.ok(few > 0.5, `too little was counted: ${few} blocks a frame`);
  // Sorting alone adds a quarter: log 100,000 / log 10,000.
  assert.ok(many < 1.5 * few, `${few} blocks a frame for 10,000 stacks, ${many} for 100,000`);
});
