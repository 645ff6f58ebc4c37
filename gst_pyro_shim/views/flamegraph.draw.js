// SPDX-License-Identifier: MIT
// Draws the flame graph page: bars, legend, tooltip, the line above the graph.
//
// Context: the reader's browser, without network. Names come from the profiled process: they go
// into the page as text (textContent, attributes), never as markup.
"use strict";

const ROW_PX = 20, LABEL_PX = 34, LETTER_PX = 8, SHARE_PX = 60, TIP_ROWS = 6;
const [graph, legend, tip, now, search, elements, hottest, reset] =
  ["graph", "legend", "tip", "now", "search", "elements", "hottest", "reset"]
    .map((id) => document.getElementById(id));

let drawnPx = 0;

function make(tag, text, className = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  made.className = className;
  return made;
}

function colour(element, owner) {
  if (hues.has(owner)) element.style.setProperty("--hue", hues.get(owner));
  else element.classList.add("none");
}

function bar(i, left, width) {
  const [frame, depth, total] = tree.nodes[i];
  const [name, kind] = frames[frame];
  // Of a function without a name the offset says more than the library.
  const fitting = width < LETTER_PX * name.length ? name.replace(/^.+(?=\+0x[0-9a-f]+$)/, "") : name;
  const div = make("div", width < LABEL_PX ? "" : fitting, kind);
  div.classList.toggle("labelled", width >= LABEL_PX);
  div.classList.toggle("above", i < zoomed);
  div.classList.toggle("found", isMarked(i));
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
  const px = graph.clientWidth, bars = visibleBars(px);
  const deepest = bars.reduce((most, [i]) => Math.max(most, tree.nodes[i][1]), 0);
  const hadFocus = graph.contains(document.activeElement);
  graph.classList.toggle("searching", isSearching());
  graph.style.height = `${(deepest + 1) * ROW_PX}px`;
  graph.replaceChildren(...bars.map((one) => bar(...one)));
  drawnPx = px;
  reset.disabled = zoomed === 0;
  now.textContent = statusLine();
  if (hadFocus) focusOn(current);
}

const barOf = (i) => graph.querySelector(`[data-node="${i}"]`);

function focusOn(i) {
  graph.querySelector('[tabindex="0"]')?.setAttribute("tabindex", -1);
  current = i;
  barOf(i)?.setAttribute("tabindex", 0);
  barOf(i)?.focus();
}

/** A table of the first [name, more, microseconds], and how many there are beyond. */
function addRows(title, rows) {
  if (rows.length === 0) return;
  const table = make("table", "");
  for (const [name, more, part] of rows.slice(0, TIP_ROWS)) {
    const row = table.insertRow();
    row.append(make("th", name), make("th", more));
    row.append(make("td", seconds(part)), make("td", percent(part)));
  }
  tip.append(make("p", title), table);
  if (rows.length > TIP_ROWS) tip.append(make("p", `and ${rows.length - TIP_ROWS} more`));
}

/** The tooltip of a node, beside a point of the window, all of it visible. */
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

/** A button for each element, which calls `pick` with its frame. */
function fillLegend(pick) {
  for (const [frame, label, own] of legendRows()) {
    const [, , factory, place] = frames[frame];
    const button = make("button", "");
    button.append(make("i", ""), label, " ", make("small", percent(own)));
    button.type = "button";
    button.title = factory ? `${factory} ${place}` : "CPU of no element";
    button.dataset.frame = frame;
    button.setAttribute("aria-pressed", "false");
    colour(button, frame);
    button.addEventListener("click", () => pick(frame));
    const item = make("li", "");
    item.append(button);
    legend.append(item);
  }
}

/** Marks what is searched for, or the element that is picked. */
function mark(text, frame) {
  setSearch(text, frame);
  for (const one of legend.querySelectorAll("button")) {
    one.setAttribute("aria-pressed", Number(one.dataset.frame) === picked);
  }
  draw();
}
