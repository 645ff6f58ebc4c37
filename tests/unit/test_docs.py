# SPDX-License-Identifier: MIT
"""The documents: links lead somewhere, files that are named exist, and README stays one screen or two.

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


# Of the tree: a source file or a document, with or without folders, "*" for several; or a folder, in backquotes.
_FILE = re.compile(
    r"(?<![\w./$-])[\w*-][\w*./-]*\.(?:c|cc|css|h|html|js|json|md|py|pyi|toml|txt|yaml)(?![\w*/])"
)
_FOLDER = re.compile(r"`([\w-]+(?:/[\w-]+)*/)`")
_BUILT = ("build/", "compile_commands.json")


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


# Headings of troubleshooting.md that are no messages.
_SYMPTOMS = {
    "[python, not sampled] is large",
    "Names like libx264.so.164+0x8f39c",
    "Rows in brackets: CPU of no element",
    "[unseen threads] is large",
    "The last moments are missing",
}
_OPENSSLS = {"certificate verify failed"}
# Where a message goes on with what the program fills in, or with a part that is written elsewhere.
_GAPS = re.compile(r"…|\.\.\.|: |, |[()%.;]| / |\d+|SIG[A-Z]+|libgstpyro\.so")


def _sources():
    """All code, with the parts of each string put together."""
    places = ("csrc/**/*.[ch]", "gst_pyro_shim/**/*.py", "build_*.py", "build_*/*.py")
    files = [path for place in places for path in ROOT.glob(place)]
    text = "\n".join(path.read_text("utf-8") for path in files)
    return re.sub(r'"\s*\n\s*f?"', "", text).replace("`", "")


def _unwritten(heading, sources):
    """Parts of a message that no code has."""
    parts = (part.strip() for part in _GAPS.split(heading.replace("`", "")))
    return [part for part in parts if len(part) > 3 and part not in sources]


def test_messages_in_troubleshooting_are_ours():
    text = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
    messages = set(re.findall(r"^## (.+)$", text, re.MULTILINE))
    assert messages > _SYMPTOMS
    for table in re.findall(r"^\| it says \|.*\n((?:\|.*\n)+)", text, re.MULTILINE):
        for row in table.splitlines():
            messages.update(re.findall(r"`([^`]+)`", row.split("|")[1]))
    assert "HTTP 401" in messages
    sources = _sources()
    stale = {one: _unwritten(one, sources) for one in messages - _SYMPTOMS - _OPENSSLS}
    assert {message: parts for message, parts in stale.items() if parts} == {}
    assert _unwritten("gst-pyro: the agent left early", sources) == ["the agent left early"]


def test_readme_stays_short():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 200


def test_pictures_load_nothing_and_are_small():
    images = ROOT / "docs" / "images"
    svg = (images / "demo.svg").read_text("utf-8")
    assert not re.search(r"""(?:href|src)=|url\(["']?(?:http|//)|@import""", svg)
    assert (images / "flamegraph.png").stat().st_size < 300_000


@pytest.fixture(scope="module")
def tree():
    rooms = ("benchmarks", "csrc", "docs", "gst_pyro_shim", "tests")
    found = {*ROOT.iterdir(), *(path for room in rooms for path in (ROOT / room).rglob("*"))}
    return {path.relative_to(ROOT): path.is_dir() for path in found}


def _missing(text, tree):
    """Files and folders that a text names and that the tree has not: by their path, or its end."""
    named = {*_FILE.findall(text), *_FOLDER.findall(text)}
    return sorted(
        name
        for name in named
        if not name.startswith(_BUILT)
        and not any(
            is_folder == name.endswith("/") and path.match(name) for path, is_folder in tree.items()
        )
    )


@pytest.mark.parametrize(
    "document",
    ["ARCHITECTURE.md", "CONTRIBUTING.md", "csrc/README.md", "docs/decisions.md", "docs/tour.md"],
)
def test_files_that_a_document_names_exist(document, tree):
    text = (ROOT / document).read_text("utf-8")
    assert _FILE.search(text)
    assert _missing(text, tree) == []


@pytest.mark.parametrize("document", ["ARCHITECTURE.md", "CONTRIBUTING.md", "docs/tour.md"])
def test_functions_that_a_document_names_exist(document):
    named = set(re.findall(r"\b(?:gp|GP|g)_\w+", (ROOT / document).read_text("utf-8")))
    code = "".join(path.read_text("utf-8") for path in ROOT.glob("csrc/**/*.[ch]"))
    assert named
    assert named <= set(re.findall(r"\w+", code))


def test_a_file_that_does_not_exist_is_found(tree):
    text = (
        "hooks.c, `shim/label/hooks.c` or gone.py; unwind*.c, names*.py; `csrc/agent/`, `agents/`"
    )
    assert _missing(text, tree) == ["agents/", "gone.py", "names*.py", "shim/label/hooks.c"]
