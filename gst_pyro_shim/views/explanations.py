# SPDX-License-Identifier: MIT
"""What is missing from a profile and why, in sentences. Tables, page and graph print the same ones.

Context: controller. No I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gst_pyro_shim.views.terminal_tables import percent

if TYPE_CHECKING:
    from gst_pyro_shim.views.summary import Summary

# Sentences for counters that should be 0; {} is the number.
WARNINGS: Final = {
    "signal_taken": (
        "The program took the sampling signal over in {} windows: stacks are missing there. Times by element are"
        " exact."
    ),
    "unarmed": (
        "{} threads could not be sampled: the kernel gave them neither a perf event nor a timer. Raise `ulimit -i`"
        " and `ulimit -n`."
    ),
    "labels_full": "Too many elements: {} calls count under [too many labels].",
    "links_full": ("Too many links: the pipeline graph lacks some. A link found no room {} times."),
    "names_folded": (
        "{} elements count together under their factory, as in identity*: GStreamer named them or the bins around"
        " them. GST_PYROSCOPE_AUTO_NAMES sets how many such names are kept apart."
    ),
    "threads_full": "Too many threads at once: {} of them count by element only, without stacks.",
    "accounts_full": "Too many threads times elements: {} pairs of both count by element only.",
    "python_end_lost": (
        "pyroscope-io's last push did not come from {} processes: they were killed, ended by os._exit(), or were too"
        " busy to send it within half a second. Python functions and allocations since the push before are missing."
    ),
    "python_memory_none": (
        "No profile of Python's allocations came from {} processes: pyroscope-io started too late, or there were too"
        " few allocations. It samples one in 512 KiB."
    ),
    "tags_full": (
        "Too many thread ids: Python functions count under no element for {} calls from elements."
    ),
}
_UNSEEN_PYTHON_S: Final = 0.1
"""Seconds of Python without a sample, below which nothing is said."""
_NS: Final = 1e9


def explanations(summary: Summary) -> list[str]:
    """Sentences on what is missing; empty where all is well."""
    if not summary.stats and any(row.self_ns for row in summary.rows):
        return [
            "The totals of the processes cannot be read: it is not known what was dropped, nor how stacks ended."
        ]
    if not summary.stats:
        return [
            "Nothing was sampled.",
            *(summary.facts.why_nothing_came() if summary.facts else ()),
        ]
    if not any(row.self_ns for row in summary.rows):
        return ["Nothing was sampled: the tracer was loaded, but it reported no CPU time."]
    counters, cut = summary.counters, summary.cut
    lines = [text.format(counters[name]) for name, text in WARNINGS.items() if counters[name]]
    lines += _excess(summary)
    if cut.samples or cut.cpu_ns:
        lines.append(
            f"Too many different stacks: {cut.cpu_ns / _NS:.3f} s of CPU time ({cut.samples} samples) count by"
            " element only, without functions and threads."
        )
    if cut.elements:
        lines.append(
            f"{cut.elements} elements that were long gone count together under their factory, to limit the profile's"
            " size."
        )
    if not any(row.factory and row.self_ns for row in summary.rows):
        lines.append(
            "No element used CPU time: no pipeline reached PLAYING, or it ended at once. All CPU time above belongs"
            " to no element."
        )
    elif not (summary.samples or counters["signal_taken"] or summary.sample_clocks == ["none"]):
        lines.append(
            "No stack was sampled: the run ended before the first tick. Times by element are exact."
        )
    if summary.python_s >= _UNSEEN_PYTHON_S and summary.not_sampled_s == summary.python_s:
        lines.append(
            f"No Python function was sampled in {summary.python_s:.1f} s of Python: {_no_python(summary)}"
        )
    if any(not one.final for one in summary.stats):
        lines.append("The last moments are missing: a process was killed or is still running.")
    return lines


def _excess(summary: Summary) -> list[str]:
    """A sentence where the rows together differ from the processes' own CPU clocks."""
    by_s = summary.excess_s
    how = f"{abs(by_s):.3f} s ({percent(abs(by_s), summary.process_cpu_s)} %)"
    if by_s > 0:
        why = "Some time is counted twice: please report it, unless a process was killed: its clock is then behind."
        return [f"{how} more are shown than the process's own clock says. {why}"]
    if by_s < 0:
        return [
            f"{how} of what the process has used are not shown: profiles were dropped or have not arrived yet."
        ]
    return []


def _no_python(summary: Summary) -> str:
    if all(one.agent_home == "embedded" for one in summary.stats):
        return "the agent runs in the program. Set GST_PYROSCOPE_AGENT=process, which puts it beside the program."
    return (
        "pyroscope-io could not be started (then the program's stderr says why), started too late,"
        " or is in use by the program itself."
    )
