// SPDX-License-Identifier: MIT
// What is marked on the flame graph page: places that match a text, or an element picked in the
// legend; and the line that counts them.
//
// Context: the reader's browser. Does not touch the document, so that tests run it without a browser.
"use strict";

const NAMED_FUNCTIONS = 6;
const EMPTY = "The profile holds no CPU time.";
const HINT = "Width is CPU time; callees are below their callers. Click to zoom, / to search.";
const HOT = "Width is CPU time of a function itself, hottest first; its callers are below it.";

// `wanted` as typed, `query` as compared; the frame of the picked element, or -1; and which of the
// matches Enter has led to.
let wanted = "", query = "", picked = -1, visited = -1;

function setSearch(text, frame) {
  wanted = text.trim();
  [query, picked, visited] = [wanted.toLowerCase(), frame, -1];
}

const isSearching = () => query !== "" || picked >= 0;
const has = (...texts) => query !== "" && texts.join(" ").toLowerCase().includes(query);

function matches(i) {
  if (picked >= 0) return ownerOf(i) === picked;
  const [name, , factory, place] = frames[tree.nodes[i][0]];
  return has(name, factory, place);
}

/** A bar that runs Python code is marked for its functions too. */
function isMarked(i) {
  const isElement = frames[tree.nodes[i][0]][1] === "element";
  return matches(i) || (!isElement && pythonOf(i).some(([, name, file]) => has(name, file)));
}

/** Nodes that match, and their time together. A place inside another one adds none. */
function findAll() {
  const places = [];
  let total = 0;
  for (let i = 0, end = 0; i < tree.nodes.length; i += 1) {
    if (!matches(i)) continue;
    places.push(i);
    if (i >= end) { total += tree.nodes[i][2]; end = tree.ends[i]; }
  }
  return { places, total };
}

/** The match after the last one that this has returned; -1 where there is none. */
function nextMatch() {
  const { places } = query === "" ? { places: [] } : findAll();
  if (places.length === 0) return -1;
  visited = (visited + 1) % places.length;
  return places[visited];
}

/** The line above the graph. */
function statusLine() {
  if (!isSearching()) {
    const hint = tree === leaves ? HOT : HINT;
    return zoomed ? describe(zoomed) : nodes[0][2] ? hint : EMPTY;
  }
  const { places, total } = findAll();
  if (picked < 0) {
    const functions = python.filter(([, name, file]) => has(name, file)).slice(0, NAMED_FUNCTIONS)
      .map(([of, name, , part]) => `; Python ${name} in ${frames[of][0]}: ${times(part)}`);
    return `“${wanted}”: ${places.length} places, total ${times(total)}${functions.join("")}`;
  }
  const [, own] = elementTimes().find(([frame]) => frame === picked);
  const [name, , factory, place] = frames[picked];
  const where = factory && ` (${factory}, ${place})`;
  // In the tree of hot functions no place holds all of an element.
  return `${name}${where}: self ${times(own)}${tree === leaves ? "" : `; total ${times(total)}`}`;
}
