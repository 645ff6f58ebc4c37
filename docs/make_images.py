# SPDX-License-Identifier: MIT
"""Makes README's pictures, images/demo.svg, images/flamegraph.png and images/graph.svg, from a profile: `make images`.

Context: documentation. Needs Chromium for the flame graph, and Graphviz.
"""

import io
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

from gst_pyro_shim.pprof import files
from gst_pyro_shim.views import flamegraph, graph, report

IMAGES = Path(__file__).with_name("images")
COLUMNS = 100
WINDOW = "1400,800"
# What the picture is zoomed on: the thread that pushes through the elements.
ZOOMED_ON = "videotestsrc0"
_DATA = re.compile(r'id="data">(.*?)</script>', re.DOTALL)
_FONT_FACE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


class _Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def draw_table(profile: Path, picture: Path) -> None:
    """The table as a terminal shows it, without what would be loaded from elsewhere."""
    os.environ |= {"COLUMNS": str(COLUMNS), "TERM": "xterm-256color"}
    table = report.table(files.read(profile), _Terminal())
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(f"$ make demo\n\n{table}\n"))
    svg = console.export_svg(title="gst-pyro-shim", unique_id="demo")
    picture.write_text(_FONT_FACE.sub("", svg), "utf-8")


def draw_flame_graph(profile: Path, picture: Path) -> None:
    """The page as Chromium shows it."""
    text = flamegraph.page(files.read(profile), profile.name)
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder, "page.html")
        page.write_text(text, "utf-8")
        command = [
            *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
            *("--disable-background-networking", "--hide-scrollbars"),
            f"--user-data-dir={folder}/browser",
            f"--window-size={WINDOW}",
            f"--screenshot={picture}",
            f"{page.as_uri()}#{_widest(text)}",
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=120)


def _widest(page: str) -> int:
    """Where in the page's stacks ZOOMED_ON has most CPU time; the root if nowhere."""
    found = _DATA.search(page)
    data = json.loads(found[1]) if found else {"nodes": [], "frames": []}
    times = {
        at: time
        for at, (frame, _, time) in enumerate(data["nodes"])
        if data["frames"][frame][0] == ZOOMED_ON
    }
    return max(times, key=times.__getitem__, default=0)


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    draw_table(Path(sys.argv[1]), IMAGES / "demo.svg")
    graph.main(Path(sys.argv[1]), IMAGES / "graph.svg", force=True)
    draw_flame_graph(Path(sys.argv[1]), IMAGES / "flamegraph.png")
