// SPDX-License-Identifier: MIT
// Mouse, keyboard and address of the flame graph page. The address says which tree is shown and
// which node is zoomed on, so that the Back button goes back.
//
// Context: the reader's browser. The last part of the page's script: shows the page.
"use strict";

/** Shows what the address says. */
function show() {
  follow(location.hash);
  elements.checked = tree === outline;
  hottest.checked = tree === leaves;
  tip.hidden = true;
  draw();
}

function zoom(i, view = /^#[er]/.exec(location.hash)?.[0].slice(1) ?? "") {
  const address = `#${view}${i}`;
  if (location.hash !== address) location.hash = address;
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
  const next = event.key === "Enter" ? nextMatch() : -1;
  if (next >= 0) zoom(next);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    if (isSearching()) { search.value = ""; mark("", -1); } else zoom(0);
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
fillLegend((frame) => {
  search.value = "";
  mark("", picked === frame ? -1 : frame);
});
show();
