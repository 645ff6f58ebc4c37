# SPDX-License-Identifier: MIT
"""For how much of the CPU time the function that burned it has a name, from the distribution's stripped libraries.

Ours beside perf's own names for the same pipelines, both by weight of the samples' leaves. An identity of ours
(`libx264.so.164+0x8f39c`) and an address of perf's are no names; nor are [jit] and [unknown]. perf gives the name of an
exported assembly routine to all code behind it, 200 KB in libx264: names far from where they belong do not count.

Context: benchmark; run by bench.py.
"""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from benchmarks.measuring import SCRATCH, Row, environment, progress
from gst_pyro_shim.pprof.decode import decode
from gst_pyro_shim.symbols.symbolize import is_named

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

HZ: Final = 500
ASSEMBLY_BYTES: Final = 1024  # a routine that has no size is hardly longer
SYSTEM_PYTHON: Final = "/usr/bin/python3"
VIDEO: Final = "video/x-raw,width=640,height=480,framerate=30/1"
SOUND: Final = "audiotestsrc wave=white-noise num-buffers={n}0 ! audio/x-raw,rate=48000,channels=2"
FRAMES: Final = "videotestsrc num-buffers={n} ! " + VIDEO
MOVIE: Final = SCRATCH / "movie.mp4"

PIPELINES: Final = {
    "x264enc": f"{FRAMES} ! videoconvert ! x264enc ! fakesink",
    "x265enc": f"{FRAMES} ! videoconvert ! x265enc speed-preset=ultrafast ! fakesink",
    "vp8enc": f"{FRAMES} ! videoconvert ! vp8enc deadline=1 ! fakesink",
    "avdec_h264": f"filesrc location={MOVIE} ! qtdemux ! h264parse ! avdec_h264 ! fakesink",
    "videoconvert, videoscale": f"{FRAMES},format=RGB ! videoconvert ! videoscale"
    " ! video/x-raw,format=I420,width=1280,height=720 ! fakesink",
    "compositor": f"{FRAMES} ! compositor name=c ! fakesink {FRAMES},format=AYUV ! c.",
    "opusenc": f"{SOUND} ! audioconvert ! opusenc complexity=10 ! fakesink",
    "audioresample": f"{SOUND} ! audioconvert ! audioresample quality=10 ! audio/x-raw,rate=44100 ! fakesink",
    "decodebin": f"filesrc location={MOVIE} ! decodebin ! videoconvert ! video/x-raw,format=RGB ! fakesink",
}
BUFFERS: Final = {
    "x265enc": 60, "vp8enc": 150, "x264enc": 300, "opusenc": 1500, "audioresample": 3000, "compositor": 600
}  # fmt: skip
APPSINK: Final = """
import gi
gi.require_version("Gst", "1.0")
from gi.repository import Gst
Gst.init(None)
pipeline = Gst.parse_launch("videotestsrc num-buffers=400 ! video/x-raw,width=640,height=480,format=RGB"
    " ! videoconvert ! video/x-raw,format=I420 ! appsink name=sink emit-signals=true sync=false")
def on_sample(sink):
    buffer = sink.emit("pull-sample").get_buffer()
    data = buffer.extract_dup(0, 4096)
    sum(data)
    return Gst.FlowReturn.OK
pipeline.get_by_name("sink").connect("new-sample", on_sample)
pipeline.set_state(Gst.State.PLAYING)
pipeline.get_bus().timed_pop_filtered(Gst.CLOCK_TIME_NONE, Gst.MessageType.EOS | Gst.MessageType.ERROR)
pipeline.set_state(Gst.State.NULL)
"""


def commands() -> dict[str, list[str]]:
    """What is run, by name; without those whose elements are not installed."""
    gst_launch = shutil.which("gst-launch-1.0") or "gst-launch-1.0"
    out = {
        name: [gst_launch, "-q", *pipeline.format(n=BUFFERS.get(name, 300)).split()]
        for name, pipeline in PIPELINES.items()
    }
    make = f"videotestsrc num-buffers=600 ! {VIDEO} ! x264enc speed-preset=ultrafast ! mp4mux"
    subprocess.run(
        [gst_launch, "-q", *f"{make} ! filesink location={MOVIE}".split()],
        env=environment(),
        stdout=subprocess.DEVNULL,
        check=True,
    )
    out["PyGObject appsink"] = [SYSTEM_PYTHON, "-c", APPSINK]
    return out


def run(command: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Whether it went well: an element may not be there."""
    done = subprocess.run(command, env=dict(environ), capture_output=True, check=False)
    return done.returncode == 0


def our_share(command: Sequence[str]) -> float | None:
    """Of the leaves' weight that has a name."""
    output = SCRATCH / "names.pb.gz"
    output.unlink(missing_ok=True)
    controller = [sys.executable, "-m", "gst_pyro_shim", "run", "-o", str(output)]
    if not run([*controller, "--sample-rate", str(HZ), "--", *command], environment()):
        return None
    weights = {True: 0, False: 0}
    for sample in decode(output.read_bytes()).samples:
        if sample.samples:
            weights[is_named(sample.frames[0])] += sample.samples
    return weights[True] / max(1, sum(weights.values()))


def perf_share(command: Sequence[str], folder: Path) -> float | None:
    """The same of perf's; None where perf cannot run."""
    perf = shutil.which("perf")
    if perf is None:
        return None
    data = folder / "perf.data"
    record = [perf, "record", "-q", "-e", "cpu-clock:u", "-F", str(HZ), "-o", str(data), "--"]
    if not run([*record, *command], environment()):
        return None
    script = [perf, "script", "-i", str(data), "-F", "ip,sym,symoff,dso"]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    named = total = 0
    for line in done.stdout.splitlines():
        found = re.match(r"\s*[0-9a-f]+ (?:\[unknown\]|(\S+)\+0x([0-9a-f]+)) \((.*)\)", line)
        if found is None:
            continue
        total += 1
        name, offset, module = found.groups()
        if name and (int(offset, 16) < ASSEMBLY_BYTES or name not in unsized_symbols(module)):
            named += 1
    return named / total if total else None


@functools.cache
def unsized_symbols(module: str) -> set[str]:
    """Exported names of assembly, for which perf takes all code up to the next exported name."""
    command = ["nm", "--dynamic", "--defined-only", "--print-size", module]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    rows_ = (line.split() for line in done.stdout.splitlines())
    return {row[2].partition("@")[0] for row in rows_ if len(row) == 3}


def rows(*, rounds: int, quick: bool) -> list[Row]:
    """A run of each is enough: shares of thousands of samples."""
    del rounds, quick
    out = []
    for name, command in commands().items():
        progress(f"names: {name}")
        ours = our_share(command)
        perfs = perf_share(command, SCRATCH)
        if ours is None:
            continue
        out.append(
            Row(
                f"{name}: leaves with a name",
                "" if perfs is None else f"perf {perfs:.1%}",
                f"{ours:.1%}",
                "" if perfs is None else f"{100 * (ours - perfs):+.1f} points",
                "> perf",
                None if perfs is None else ours > perfs,
            )
        )
    return out
