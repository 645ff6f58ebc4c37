// SPDX-License-Identifier: MIT
// Runs those parts of the flame graph page's script that do not touch the document, on made-up stacks.
//
// Context: tests, node without packages.
import { readFileSync } from "node:fs";
import inspector from "node:inspector";
import vm from "node:vm";

const PARTS = ["tree", "state", "search"];
const FOLDER = new URL("../../gst_pyro_shim/views/", import.meta.url);

export const element = (name, factory = "identity") =>
  [name, "element", factory, factory && `/pipeline0/${name}`];
export const called = (name, library = "lib.so") => [name, "native", "", library];
export const marker = (name, meaning) => [name, "marker", "", meaning];

/** The page's data for stacks [[frame, from the outermost on], microseconds]. */
export function pack(stacks) {
  const frames = [marker("all", "the whole profile")], numbers = new Map();
  const numberOf = (frame) => {
    const key = frame.join("\n");
    if (!numbers.has(key)) numbers.set(key, frames.push(frame) - 1);
    return numbers.get(key);
  };
  const root = { frame: 0, depth: 0, total: 0, below: new Map() };
  for (const [stack, time] of stacks) {
    let at = root;
    at.total += time;
    for (const frame of stack.map(numberOf)) {
      const child = { frame, depth: at.depth + 1, total: 0, below: new Map() };
      if (!at.below.has(frame)) at.below.set(frame, child);
      at = at.below.get(frame);
      at.total += time;
    }
  }
  const nodes = [], waiting = [root];
  while (waiting.length) {
    const { frame, depth, total, below } = waiting.pop();
    nodes.push([frame, depth, total]);
    for (const one of [...below.values()].sort((a, b) => a.total - b.total)) waiting.push(one);
  }
  return { frames, nodes, python: [], threads: [] };
}

/** The script on `data`; what it returns evaluates an expression among the script's own variables. */
export function load(data) {
  const document = { getElementById: () => ({ textContent: JSON.stringify(data) }) };
  const context = vm.createContext({ document });
  for (const part of PARTS) {
    const file = new URL(`flamegraph.${part}.js`, FOLDER);
    vm.runInContext(readFileSync(file, "utf8"), context, { filename: file.href });
  }
  // As JSON, for objects of another context are equal to none of this one.
  return (expression) => {
    const text = JSON.stringify(vm.runInContext(expression, context));
    return text === undefined ? undefined : JSON.parse(text);
  };
}

// Scripts that are compiled before this begins, or after it ends, are not counted block by block.
const session = new inspector.Session();
session.connect();

function ask(method, options) {
  let answer;
  session.post(method, options, (error, found) => {
    if (error) throw new Error(error.message);
    answer = found;
  });
  return answer;
}

ask("Profiler.enable");
ask("Profiler.startPreciseCoverage", { callCount: true, detailed: true });

/** How often the script's functions and blocks run in `work`, as V8 counts them for coverage. */
export function countBlocks(work) {
  ask("Profiler.takePreciseCoverage"); // sets all counts to 0
  const kept = work();
  const { result } = ask("Profiler.takePreciseCoverage");
  // V8 drops the counts of a script that nobody holds any more.
  if (!kept) throw new Error("work has to return the script");
  const functions = result.filter(({ url }) => url.startsWith(FOLDER.href)).flatMap((one) => one.functions);
  const ran = functions.filter((one) => one.ranges[0].count > 0);
  if (!ran.every((one) => one.isBlockCoverage)) throw new Error("blocks are not counted");
  return ran.flatMap((one) => one.ranges).reduce((sum, { count }) => sum + count, 0);
}
