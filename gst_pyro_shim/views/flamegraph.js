// SPDX-License-Identifier: MIT
// The flame graph page: draws, zooms, searches.
//
// Context: the reader's browser, without network. Names come from the profiled process: they go
// into the page as text (textContent, attributes), never as markup. What is shown stands in the
// address ("#12": zoomed on node 12; "#e3": elements only; "#r3": hot functions first), so that the
// Back button goes back.
"use strict";

const ROW_PX = 20, LABEL_PX = 34, LETTER_PX = 8, SHARE_PX = 60, SMALLEST_PX = 0.6, ROWS = 6;
const EMPTY = "The profile holds no CPU time.";
const HINT = "Width is CPU time; callees stand below their callers. Click to zoom, / to search.";
const HOT = "Width is CPU time of a function itself, hottest first; its callers stand below it.";
const [graph, legend, tip, now, search, elements, hottest, reset] =
  ["graph", "legend", "tip", "now", "search", "elements", "hottest", "reset"]
    .map((id) => document.getElementById(id));

let tree = everything, zoomed = 0, current = 0, drawnPx = 0;
// What is marked: text searched for, or the frame of an element picked in the legend.
let query = "", picked = -1, visited = -1;

const seconds = (part) => `${(Math.max(0, part) / 1e6).toFixed(3)} s`;
const percent = (part, of = whole) => `${((100 * Math.max(0, part)) / of).toFixed(1)} %`;
const plural = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;
const times = (part) => `${seconds(part)}, ${percent(part)}`;

/** Frame of the element that a node runs for, -1 without. */
const ownerOf = (i) => tree.ownerFrames[i];

/** Python functions of the element that a node is, or whose Python code it runs; else none. */
function pythonOf(i) {
  const [name, kind] = frames[tree.nodes[i][0]], owner = ownerOf(i);
  return kind === "element" || name === "[python]" ? python.filter(([of]) => of === owner) : [];
}

/** What a node is, in words. */
function kindOf(i) {
  const [, kind, factory, place] = frames[tree.nodes[i][0]];
  const owner = ownerOf(i);
  if (kind === "marker") return place;
  if (kind === "element") return factory ? `element, ${factory}, ${place}` : "CPU of no element";
  return `function${place && ` in ${place}`}${owner < 0 ? "" : `, for ${frames[owner][0]}`}`;
}

function describe(i) {
  const [frame, , total] = tree.nodes[i];
  const self = tree.own ? `; self ${times(tree.own[i])}` : "";
  return `${frames[frame][0]} (${kindOf(i)}): ${times(total)}${self}`;
}

function matches(i) {
  if (picked >= 0) return ownerOf(i) === picked;
  const [name, , factory, place] = frames[tree.nodes[i][0]];
  return has(name, factory, place);
}

const has = (...texts) => query !== "" && texts.join(" ").toLowerCase().includes(query);

function make(tag, text, className = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  made.className = className;
  return made;
}

function colour(node, owner) {
  if (hues.has(owner)) node.style.setProperty("--hue", hues.get(owner));
  else node.classList.add("none");
}

function bar(i, left, width, above) {
  const [frame, depth, total] = tree.nodes[i];
  const [name, kind] = frames[frame];
  // Of a function without a name its place tells more than its library does.
  const fitting = width < LETTER_PX * name.length ? name.replace(/^.+(?=\+0x[0-9a-f]+$)/, "") : name;
  const div = make("div", width < LABEL_PX ? "" : fitting, kind);
  div.classList.toggle("labelled", width >= LABEL_PX);
  div.classList.toggle("above", above);
  div.classList.toggle("found",
    matches(i) || (kind !== "element" && pythonOf(i).some(([, called, file]) => has(called, file))));
  if (kind === "element" && width >= LETTER_PX * name.length + SHARE_PX) {
    div.append(" ", make("span", percent(total)));
  }
  colour(div, ownerOf(i));
  div.style.left = `${left}px`;
  div.style.width = `${width > 3 ? width - 1 : width}px`;
  div.style.top = `${depth * ROW_PX}px`;
  div.tabIndex = i === current ? 0 : -1;
  div.dataset.node = i;
  div.setAttribute("role", "treeitem");
  div.setAttribute("aria-level", depth + 1);
  div.setAttribute("aria-label", describe(i));
  return div;
}

function draw() {
  const bars = [], px = graph.clientWidth;
  const from = tree.starts[zoomed], scale = px / (tree.nodes[zoomed][2] || 1);
  let deepest = 0;
  for (let i = tree.parents[zoomed]; i >= 0; i = tree.parents[i]) bars.push(bar(i, 0, px, true));
  for (let i = zoomed; i < tree.ends[zoomed];) {
    const width = i === zoomed ? px : tree.nodes[i][2] * scale;
    if (width < SMALLEST_PX) { i = tree.ends[i]; continue; }
    deepest = Math.max(deepest, tree.nodes[i][1]);
    bars.push(bar(i, (tree.starts[i] - from) * scale, width, false));
    i += 1;
  }
  const hadFocus = graph.contains(document.activeElement);
  graph.classList.toggle("searching", query !== "" || picked >= 0);
  graph.style.height = `${(deepest + 1) * ROW_PX}px`;
  graph.replaceChildren(...bars);
  drawnPx = px;
  reset.disabled = zoomed === 0;
  if (hadFocus) focusOn(current);
}

const barOf = (i) => graph.querySelector(`[data-node="${i}"]`);

function focusOn(i) {
  graph.querySelector('[tabindex="0"]')?.setAttribute("tabindex", -1);
  current = i;
  barOf(i)?.setAttribute("tabindex", 0);
  barOf(i)?.focus();
}

/** The first of [name, more, microseconds], and how many there are beyond. */
function addRows(title, rows) {
  if (rows.length === 0) return;
  const table = make("table", "");
  for (const [name, more, part] of rows.slice(0, ROWS)) {
    const row = table.insertRow();
    row.append(make("th", name), make("th", more));
    row.append(make("td", seconds(part)), make("td", percent(part)));
  }
  tip.append(make("p", title), table);
  if (rows.length > ROWS) tip.append(make("p", `and ${rows.length - ROWS} more`));
}

/** Beside a point of the window, all of it visible. */
function showTip(i, x, y) {
  const [frame, , total] = tree.nodes[i];
  const table = make("table", "");
  for (const [label, part] of [["total", total], ["self", tree.own?.[i]]]) {
    if (part === undefined) continue;
    const row = table.insertRow();
    row.append(make("th", label), make("td", seconds(part)), make("td", percent(part)));
    if (zoomed) row.append(make("td", `${percent(part, tree.nodes[zoomed][2] || 1)} of this view`));
  }
  tip.replaceChildren(make("b", frames[frame][0]), make("p", kindOf(i)), table);
  const runs = frames[frame][1] === "element" ? threads.filter(([of]) => of === frame) : [];
  const owner = ownerOf(i) < 0 ? "" : `${frames[ownerOf(i)][0]}, in all places:`;
  addRows(`Threads of ${owner}`, runs.map(([, name, count, part]) => [name, plural(count, "thread"), part]));
  addRows(`Python functions of ${owner}`, pythonOf(i).map(([, ...row]) => row));
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(8, Math.min(x + 14, innerWidth - width - 8))}px`;
  tip.style.top = `${y + 20 + height > innerHeight ? Math.max(4, y - height - 10) : y + 20}px`;
}

function say() {
  if (query === "" && picked < 0) {
    const hint = tree === leaves ? HOT : HINT;
    now.textContent = zoomed ? describe(zoomed) : nodes[0][2] ? hint : EMPTY;
    return;
  }
  let found = 0, places = 0;
  // A place inside another adds no time.
  for (let i = 0, end = 0; i < tree.nodes.length; i += 1) {
    if (!matches(i)) continue;
    places += 1;
    if (i >= end) { found += tree.nodes[i][2]; end = tree.ends[i]; }
  }
  if (picked < 0) {
    const functions = python.filter(([, name, file]) => has(name, file));
    now.textContent = `“${search.value.trim()}”: ${places} places, total ${times(found)}` +
      functions.map(([of, name, , part]) => `; Python ${name} in ${frames[of][0]}: ${times(part)}`)
        .slice(0, ROWS).join("");
    return;
  }
  const [, own] = elementTimes().find(([frame]) => frame === picked);
  const [name, , factory, place] = frames[picked];
  const where = factory && ` (${factory}, ${place})`;
  const total = tree === leaves ? "" : `; total ${times(found)}`;
  now.textContent = `${name}${where}: self ${times(own)}${total}`;
}

function mark(text, frame) {
  [query, picked, visited] = [text.trim().toLowerCase(), frame, -1];
  for (const one of legend.querySelectorAll("button")) {
    one.setAttribute("aria-pressed", Number(one.dataset.frame) === picked);
  }
  draw();
  say();
}

/** Shows what the address says. */
function show() {
  const [, view, number] = /^#([er]?)(\d+)$/.exec(location.hash) ?? [null, "", "0"];
  tree = treeOf(view);
  elements.checked = tree === outline;
  hottest.checked = tree === leaves;
  zoomed = current = Number(number) < tree.nodes.length ? Number(number) : 0;
  tip.hidden = true;
  draw();
  say();
}

function zoom(i, view = /^#[er]/.exec(location.hash)?.[0].slice(1) ?? "") {
  const there = `#${view}${i}`;
  if (location.hash !== there) location.hash = there;
}

// Neighbours in the tree: the largest callee, the caller, the next and the last sibling.
function neighbour(i, key) {
  const { parents, ends } = tree;
  if (key === "ArrowUp") return parents[i];
  if (key === "ArrowDown") return i + 1 < ends[i] ? i + 1 : -1;
  if (key === "ArrowRight") return i !== zoomed && ends[i] < ends[parents[i]] ? ends[i] : -1;
  for (let one = parents[i] + 1; i > 0 && one < i; one = ends[one]) if (ends[one] === i) return one;
  return -1;
}

function fillLegend() {
  const list = elementTimes();
  const names = list.map(([frame]) => frames[frame][0]);
  for (const [frame, own] of list) {
    const [name, , factory, place] = frames[frame];
    const shared = place && names.indexOf(name) !== names.lastIndexOf(name);
    const button = make("button", "");
    button.append(make("i", ""), shared ? place : name, " ", make("small", percent(own)));
    button.type = "button";
    button.title = factory ? `${factory} ${place}` : "CPU of no element";
    button.dataset.frame = frame;
    button.setAttribute("aria-pressed", "false");
    colour(button, frame);
    button.addEventListener("click", () => {
      search.value = "";
      mark("", picked === frame ? -1 : frame);
    });
    const item = make("li", "");
    item.append(button);
    legend.append(item);
  }
}

const nodeAt = (event) => {
  const div = event.target.closest("#graph [data-node]");
  return div ? Number(div.dataset.node) : -1;
};
graph.addEventListener("click", (event) => { if (nodeAt(event) >= 0) zoom(nodeAt(event)); });
graph.addEventListener("mousemove", (event) => {
  if (nodeAt(event) >= 0) showTip(nodeAt(event), event.clientX, event.clientY);
  else tip.hidden = true;
});
graph.addEventListener("mouseleave", () => { tip.hidden = true; });
graph.addEventListener("focusin", (event) => {
  current = nodeAt(event);
  if (!event.target.matches(":focus-visible")) return;
  const { left, top } = event.target.getBoundingClientRect();
  showTip(current, left, top);
});
graph.addEventListener("focusout", () => { tip.hidden = true; });
graph.addEventListener("keydown", (event) => {
  if (event.key === "Enter" || event.key === " ") zoom(current);
  else if (event.key.startsWith("Arrow")) {
    const next = neighbour(current, event.key);
    if (next >= 0 && barOf(next)) focusOn(next);
  } else return;
  event.preventDefault();
});
search.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || query === "") return;
  const places = [];
  for (let i = 0; i < tree.nodes.length; i += 1) if (matches(i)) places.push(i);
  if (places.length === 0) return;
  visited = (visited + 1) % places.length;
  zoom(places[visited]);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    if (query !== "" || picked >= 0) { search.value = ""; mark("", -1); } else zoom(0);
  } else if (event.key === "/" && event.target !== search) {
    search.focus();
    event.preventDefault();
  }
});
search.addEventListener("input", () => mark(search.value, -1));
elements.addEventListener("change", () => zoom(0, elements.checked ? "e" : ""));
hottest.addEventListener("change", () => zoom(0, hottest.checked ? "r" : ""));
reset.addEventListener("click", () => zoom(0));
addEventListener("hashchange", show);
new ResizeObserver(() => { if (graph.clientWidth !== drawnPx) draw(); }).observe(graph);
fillLegend();
show();
