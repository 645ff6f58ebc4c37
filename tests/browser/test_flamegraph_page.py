# SPDX-License-Identifier: MIT
"""The flame graph page in a real browser: what a reader sees, clicks and types.

What its script computes is tested without a browser: page_script.test.mjs.

Context: test.
"""

import contextlib
import http.server
import re
import threading

import pytest
from selenium.webdriver import ActionChains
from selenium.webdriver.common.keys import Keys

from gst_pyro_shim import cli
from gst_pyro_shim.pprof.model import NO_SAMPLE, Frame, Profile, Sample, element_frame
from gst_pyro_shim.terminal import printable
from gst_pyro_shim.views import flamegraph
from tests.browser import chromium
from tests.support import hosts, profiles

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore::ResourceWarning")]

PIPELINE = (
    "videotestsrc num-buffers=60 ! video/x-raw,width=640,height=480 ! videoconvert"
    " ! x264enc name=coder speed-preset=ultrafast ! fakesink"
)


@pytest.fixture(scope="module")
def chrome(tmp_path_factory):
    with chromium.started(tmp_path_factory.mktemp("browser")) as chrome:
        yield chrome


@pytest.fixture
def page(chrome):
    shown = chromium.Page(chrome)
    yield shown
    assert shown.complaints() == []


@pytest.fixture
def demo(page, tmp_path):
    return page.open(_write(profiles.demo(), tmp_path))


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """The page of a real pipeline."""
    hosts.needs_gstreamer("x264enc")
    folder = tmp_path_factory.mktemp("real")
    hosts.profile(hosts.gst_launch(PIPELINE), folder, way="run")
    assert (
        cli.main(["flamegraph", str(folder / "run-auto.pb.gz"), "-o", str(folder / "x.html")]) == 0
    )
    return folder / "x.html"


def _write(profile, folder):
    file = folder / "page.html"
    file.write_text(flamegraph.page(profile, "page.pb.gz"), "utf-8")
    return file


def _style(element, name):
    return element.value_of_css_property(name)


def _hover(page, element):
    ActionChains(page.chrome).move_to_element(element).perform()
    page.until(page.one("#tip").is_displayed)
    return page.one("#tip").text


@pytest.mark.integration
def test_a_real_pipeline(page, real):
    page.open(real)
    assert "gst-launch-1.0 · " in page.one("#about").text
    coder = page.bar("coder")
    assert coder.text.startswith("coder")
    assert "element" in coder.get_attribute("class").split()
    assert "element, x264enc, /pipeline0/coder" in _hover(page, coder)
    legend = {_legend_name(text) for text in page.texts("#legend button")}
    assert {"videotestsrc0", "videoconvert0", "coder", "fakesink0"} <= legend


def _legend_name(text):
    return re.fullmatch(r"(.*) \d+\.\d %", text, re.DOTALL)[1]


def test_elements_stand_out_from_functions(demo):
    coder, function = demo.bar("x264enc0"), demo.bar("gst_x264_enc_handle_frame")
    assert coder.text == "x264enc0 50.0 %"
    assert int(_style(coder, "font-weight")) > int(_style(function, "font-weight"))
    swatch = demo.one('#legend [title="x264enc /pipeline0/x264enc0"] i')
    assert _style(swatch, "background-color") == _style(coder, "background-color")
    colours = {
        _style(demo.bar(name), "background-color")
        for name in ("x264enc0", "videotestsrc0", "[main thread]", "gst_pad_push")
    }
    assert len(colours) == 4
    assert "gradient" in _style(demo.bar("[no sample]"), "background-image")


def test_what_a_bar_says_of_itself(demo):
    text = _hover(demo, demo.bar("videotestsrc0"))
    assert text.splitlines() == [
        "videotestsrc0",
        "element, videotestsrc, /pipeline0/videotestsrc0",
        "total 2.400 s 80.0 %",
        "self 0.900 s 30.0 %",
        "Threads of videotestsrc0, in all places:",
        "? 1 thread 0.900 s 30.0 %",
    ]
    text = _hover(demo, demo.bar("gst_pad_push"))
    assert "function in /usr/lib/libgstreamer-1.0.so.0, for videotestsrc0" in text
    assert "self 0.900 s 30.0 %" in text


def test_a_click_zooms_and_there_are_three_ways_back(demo):
    for way_back in (
        demo.chrome.back,
        lambda: demo.one("#reset").click(),
        lambda: ActionChains(demo.chrome).send_keys(Keys.ESCAPE).perform(),
    ):
        width = demo.bar("videotestsrc0").size["width"]
        assert demo.one("#graph").size["width"] * 0.78 < width < demo.one("#graph").size["width"]
        demo.bar("videotestsrc0").click()
        demo.until(lambda: demo.zoomed_on == "videotestsrc0")
        assert demo.bar("videotestsrc0").size["width"] > width
        assert not [text for text in demo.bars() if text.startswith("[main thread]")]
        assert "62.5 % of this view" in _hover(demo, demo.bar("x264enc0"))
        way_back()
        demo.until(lambda: demo.zoomed_on == "all")
    demo.bar("videotestsrc0").click()
    demo.until(lambda: demo.zoomed_on == "videotestsrc0")
    demo.bar("all").click()
    demo.until(lambda: demo.zoomed_on == "all")


def test_search_marks_and_counts(demo):
    demo.one("#search").send_keys("HANDLE_frame")
    assert demo.status == "“HANDLE_frame”: 2 places, total 2.000 s, 66.7 %"
    found = demo.all("#graph .found")
    assert [one.text for one in found] == ["gst_x264_enc_handle_frame"] * 2
    assert {_style(one, "opacity") for one in found} == {"1"}
    assert float(_style(demo.bar("gst_pad_push"), "opacity")) < 0.5
    demo.one("#search").send_keys(Keys.ENTER)
    demo.until(lambda: demo.zoomed_on == "gst_x264_enc_handle_frame")
    demo.one("#search").send_keys(Keys.ESCAPE)
    assert demo.all("#graph .found") == []
    assert _style(demo.bar("gst_pad_push"), "opacity") != "0.28"


def test_the_legend_marks_an_element(demo):
    button = demo.one("#legend button")
    assert button.text == "x264enc0 66.7 %"
    button.click()
    assert demo.status == (
        "x264enc0 (x264enc, /pipeline0/x264enc0): self 2.000 s, 66.7 %; total 2.000 s, 66.7 %"
    )
    assert button.get_attribute("aria-pressed") == "true"
    assert len(demo.all("#graph .found")) == 4
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert demo.all("#graph .found") == []


def test_elements_only(demo):
    demo.one("#elements").click()
    demo.until(lambda: len(demo.bars()) == 5)
    assert [text.partition(" (")[0] for text in demo.bars()] == [
        "all",
        "videotestsrc0",
        "x264enc0",
        "x264enc0",
        "[main thread]",
    ]
    assert "self 0.900 s 30.0 %" in _hover(demo, demo.bar("videotestsrc0"))
    demo.bar("videotestsrc0").click()
    demo.until(lambda: len(demo.bars()) == 3)
    demo.one("#elements").click()
    demo.until(lambda: "gst_pad_push" in demo.texts("#graph div"))


def test_hot_functions_first(demo):
    demo.one("#hottest").click()
    demo.until(lambda: demo.zoomed_on == "all" and len(demo.bars()) == 9)
    assert demo.bars()[1].startswith("gst_x264_enc_handle_frame (")
    assert "self" not in _hover(demo, demo.bar("gst_x264_enc_handle_frame"))
    demo.one("#legend button").click()
    assert demo.status.endswith(": self 2.000 s, 66.7 %")
    demo.bar("gst_x264_enc_handle_frame").click()
    demo.until(lambda: demo.zoomed_on == "gst_x264_enc_handle_frame")
    assert demo.one("#hottest").is_selected()
    demo.one("#elements").click()
    demo.until(lambda: demo.zoomed_on == "all" and len(demo.bars()) == 5)
    assert not demo.one("#hottest").is_selected()


def test_narrow_bars_name_the_place_of_a_function_without_name(page, tmp_path):
    name = "libx264.so.164+0x8f39c"
    small = Sample((Frame(name), profiles.X264), 10**8, 1, profiles.labels("x264enc0", "x264enc"))
    page.open(_write(Profile(1, 2, 3, [small, *profiles.demo().samples]), tmp_path), width=2000)
    assert page.bar(name).text == "+0x8f39c"
    page.bar(name).click()
    page.until(lambda: page.zoomed_on == name)
    assert page.bar(name).text == name


def test_python_functions_stand_at_their_element(page, tmp_path):
    labels = profiles.labels("x264enc0", "x264enc")
    python = Frame("Coder.do_handle", file="/home/me/plugins/coder.py")
    profile = Profile(
        1,
        2,
        3,
        [Sample((Frame("memcpy"), Frame("[python]"), profiles.X264), 10**9, 100, labels)],
        python=[Sample((python,), 10**9, 40, labels)],
    )
    page.open(_write(profile, tmp_path))
    for name in ("x264enc0", "[python]"):
        assert _hover(page, page.bar(name)).splitlines()[-2:] == [
            "Python functions of x264enc0, in all places:",
            "Coder.do_handle plugins/coder.py 1.000 s 100.0 %",
        ]
    assert "Python functions" not in _hover(page, page.bar("memcpy"))
    page.one("#search").send_keys("do_handle")
    assert page.texts("#graph .found") == ["[python]"]
    assert page.status.endswith("; Python Coder.do_handle in x264enc0: 1.000 s, 100.0 %")


def test_the_keyboard_is_enough(demo):
    def press(*keys):
        ActionChains(demo.chrome).send_keys(*keys).perform()

    def focused():
        return demo.run("return document.activeElement.getAttribute('aria-label') ?? ''")

    demo.run("document.querySelector('#graph [tabindex=\"0\"]').focus()")
    for key, name in (
        (Keys.ARROW_DOWN, "videotestsrc0"),
        (Keys.ARROW_RIGHT, "x264enc0"),
        (Keys.ARROW_RIGHT, "[main thread]"),
        (Keys.ARROW_LEFT, "x264enc0"),
        (Keys.ARROW_UP, "all"),
        (Keys.ARROW_DOWN, "videotestsrc0"),
        (Keys.ARROW_DOWN, "gst_pad_push"),
    ):
        press(key)
        assert focused().startswith(f"{name} (")
        assert demo.one("#tip").text.startswith(name)
    press(Keys.ENTER)
    demo.until(lambda: demo.zoomed_on == "gst_pad_push")
    demo.until(lambda: focused().startswith("gst_pad_push ("))
    press("/")
    assert focused() == "Search"
    press("x264enc", Keys.ENTER)
    demo.until(lambda: demo.zoomed_on == "x264enc0")
    press(Keys.ESCAPE, Keys.ESCAPE)
    demo.until(lambda: demo.zoomed_on == "all")


HOSTILE = (
    "<img src=x onerror=\"document.title='owned'\">",
    "</script><script>document.title='owned'</script>",
    "{{data}} {{script}} &lt;b&gt; \\u003c",
    "two\nlines\ttab",
    "quotes ' \" ` ${1} \\",
    "emoji 🎬🔥 名前",
    "right-to-left \u202e gnp.exe",
    "javascript:alert(1)",
)


def test_hostile_names_are_text(page, tmp_path):
    stacks = [
        Sample((Frame(name, f"/lib/{name}"), element_frame(name, name, f"/p/{name}")), 10**9, 1)
        for name in HOSTILE
    ]
    page.open(_write(Profile(1, 2, 3, stacks), tmp_path))
    shown = sorted(map(printable, HOSTILE))
    assert sorted(page.texts("#graph div.native")) == shown
    assert sorted(map(_legend_name, page.texts("#legend button"))) == shown
    for bar in page.all("#graph div.element"):
        _hover(page, bar)
        assert page.texts("#tip b")[0] in shown
    page.one("#search").send_keys("<img")
    assert page.status.startswith("“<img”: 2 places")
    assert page.all("img, b b, header script") == []
    assert len(page.all("script")) == 2
    assert page.chrome.title == "page.pb.gz"


def test_nothing_leaves_the_page(page, tmp_path):
    file = _write(profiles.demo(), tmp_path)
    with _listening() as (address, heard):
        page.open(file)
        assert page.requests() == [file.as_uri()]
        page.run(
            """
            const address = arguments[0];
            fetch(address + "fetch").catch(() => 0);
            navigator.sendBeacon(address + "beacon");
            for (const [tag, key] of [["img", "src"], ["script", "src"], ["iframe", "src"]]) {
              document.body.append(Object.assign(document.createElement(tag),
                                                 { [key]: address + tag }));
            }
            const link = Object.assign(document.createElement("link"), { rel: "stylesheet" });
            link.href = address + "link";
            document.body.append(link);
            const script = document.createElement("script");
            script.textContent = "document.title = 'owned'";
            document.body.append(script);
            """,
            address,
        )
        refused = []

        def all_refused():
            refused.extend(page.complaints())
            return len([one for one in refused if "Content Security Policy" in one]) >= 7

        page.until(all_refused)
        assert heard == []
    assert page.chrome.title == "page.pb.gz"


@contextlib.contextmanager
def _listening():
    heard = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            heard.append(self.path)
            self.send_error(404)

        def do_POST(self):
            self.do_GET()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", heard
        server.shutdown()
        thread.join()


def test_a_profile_without_samples(page, tmp_path):
    page.open(_write(Profile(1, 2, 3, []), tmp_path))
    assert page.texts("#graph div") == ["all"]
    assert page.status == "The profile holds no CPU time."


@pytest.mark.parametrize("width", [320, 700])
def test_a_narrow_window(page, tmp_path, width):
    page.open(_write(profiles.demo(), tmp_path), width=width, height=640)
    assert page.run("return document.documentElement.scrollWidth") <= width
    for selector in ("#search", "#reset", "#elements", "#legend", "#graph"):
        box = page.one(selector).rect
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
    _hover(page, page.bar("[main thread]"))
    box = page.one("#tip").rect
    assert 0 <= box["x"] <= width - box["width"]


def test_light_and_dark(page, tmp_path):
    # A function of the page's own colours reads on both.
    profile = Profile(1, 2, 3, [Sample((NO_SAMPLE, profiles.X264), 10**9, 1)])
    seen = []
    for dark in (False, True):
        page.open(_write(profile, tmp_path), dark=dark)
        seen.append(_style(page.one("body"), "background-color"))
    assert seen == ["rgba(255, 255, 255, 1)", "rgba(21, 23, 27, 1)"]


def test_a_window_that_changes_its_size(page, tmp_path):
    page.open(_write(profiles.demo(), tmp_path))
    size = {"width": 800, "height": 600, "deviceScaleFactor": 1, "mobile": False}
    page.chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    width = "return document.querySelector(arguments[0]).getBoundingClientRect().width"
    page.until(lambda: page.run(width, "#graph") < 800)
    page.until(
        lambda: abs(page.run(width, "#graph [data-node='0']") - page.run(width, "#graph")) < 2
    )
