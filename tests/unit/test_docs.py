# SPDX-License-Identifier: MIT
"""The documents: each relative link leads somewhere, and README stays one screen or two.

Context: test. docs/configuration.md against the model: test_config.py.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path for folder in (ROOT, ROOT / "docs", ROOT / "benchmarks") for path in folder.glob("*.md")
)
_FENCED = re.compile(r"^(```|~~~).*?^\1", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(<?([^)>\s]+)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def _text(path):
    return _FENCED.sub("", path.read_text("utf-8"))


def _anchors(path):
    """As the sites that show Markdown make them of headings."""
    headings = (heading.replace("`", "").lower() for heading in _HEADING.findall(_text(path)))
    return {re.sub(r"[^\w\- ]", "", heading).strip().replace(" ", "-") for heading in headings}


def _links():
    return [
        pytest.param(path, link, id=f"{path.name}-{link}")
        for path in DOCUMENTS
        for link in _LINK.findall(_text(path))
        if not re.match(r"[a-z]+:", link)
    ]


@pytest.mark.parametrize(("document", "link"), _links())
def test_relative_links_lead_somewhere(document, link):
    name, _, anchor = link.partition("#")
    target = document.parent / name if name else document
    assert target.resolve().is_relative_to(ROOT)
    assert target.exists()
    if anchor:
        assert anchor in _anchors(target)


def test_debug_categories_exist():
    """A category that GStreamer does not know is taken without a word, and shows nothing."""
    texts = [*DOCUMENTS, *ROOT.glob("csrc/**/*.[ch]"), *ROOT.glob("gst_pyro_shim/**/*.py")]
    named = {
        category
        for path in texts
        for levels in re.findall(r"GST_DEBUG=([\w:,]+)", path.read_text("utf-8"))
        for category in re.findall(r"(\w+):\d", levels)
    }
    gstreamers = {"GST_TRACER", "GST_REGISTRY", "GST_PLUGIN_LOADING"}
    (ours,) = re.findall(
        r'new_category \("(\w+)"',
        (ROOT / "csrc" / "shim" / "base" / "gst_api.c").read_text("utf-8"),
    )
    assert ours in named
    assert named <= {ours, *gstreamers}


def test_readme_stays_short():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 200


def test_pictures_load_nothing_and_are_small():
    images = ROOT / "docs" / "images"
    svg = (images / "demo.svg").read_text("utf-8")
    assert not re.search(r"""(?:href|src)=|url\(["']?(?:http|//)|@import""", svg)
    assert (images / "flamegraph.png").stat().st_size < 300_000
