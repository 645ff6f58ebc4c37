# SPDX-License-Identifier: MIT
"""What is missing from a profile, and why, in sentences; all that show a profile say the same.

Context: controller. No I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gst_pyro_shim.views.terminal_tables import percent

if TYPE_CHECKING:
    from gst_pyro_shim.views.summary import Summary

# Counters that mean trouble when they are not 0, in words; {} is the number.
WARNINGS: Final = {
    "signal_taken": (
        "The program took the sampling signal over in {} windows: stacks are missing, times by"
        " element are exact."
    ),
    "unarmed": "{} threads could not be sampled: neither perf event nor timer was to be had.",
    "labels_full": "Too many elements: {} calls count under [too many labels].",
    "links_full": "Too many links: the pipeline graph lacks some, looked up {} times.",
    "names_folded": (
        "{} elements count together under their factory, as in identity*: GStreamer named them or the bins around"
        " them. GST_PYROSCOPE_AUTO_NAMES sets how many such names are told apart."
    ),
    "threads_full": "Too many threads at once: {} count by element only, without stacks.",
    "accounts_full": "Too many threads times elements: {} accounts count by element only.",
    "python_end_lost": (
        "pyroscope-io's last push did not come from {} processes: killed, ended by os._exit(), or too busy for it to"
        " come in half a second. Python functions and allocations since the push before are missing."
    ),
    "python_memory_none": (
        "No profile of Python's allocations came from {} processes: pyroscope-io was up too late, or met none that it"
        " samples, one in 512 KiB."
    ),
    "tags_full": (
        "Too many thread ids: Python functions count under no element for {} calls from elements."
    ),
}
_UNSEEN_PYTHON_S: Final = 0.1
"""Of Python without a sample: less is not worth a sentence."""
_NS: Final = 1e9


def explanations(summary: Summary) -> list[str]:
    """Sentences on what is missing; empty where all is well."""
    if not summary.stats and any(row.self_ns for row in summary.rows):
        return [
            "No process's own totals can be read: what was dropped, and how stacks ended, is not known."
        ]
    if not summary.stats:
        return [
            "Nothing was sampled.",
            *(summary.facts.why_nothing_came() if summary.facts else ()),
        ]
    if not any(row.self_ns for row in summary.rows):
        return ["Nothing was sampled: the tracer was there, but no CPU time was reported."]
    counters, cut = summary.counters, summary.cut
    lines = [text.format(counters[name]) for name, text in WARNINGS.items() if counters[name]]
    lines += _excess(summary)
    if cut.samples or cut.cpu_ns:
        lines.append(
            f"Too many different stacks: {cut.cpu_ns / _NS:.3f} s of CPU time, {cut.samples} samples, count by"
            " element only, without functions and threads."
        )
    if cut.elements:
        lines.append(
            f"{cut.elements} elements that were long gone count together under their factory, to bound the profile."
        )
    if not any(row.factory and row.self_ns for row in summary.rows):
        lines.append(
            "No element used CPU time: no pipeline reached PLAYING, or it ended at once. All of"
            " the CPU above belongs to no element."
        )
    elif not (summary.samples or counters["signal_taken"] or summary.sample_clocks == ["none"]):
        lines.append(
            "No stack was sampled: the run was too short for a tick. Times by element are exact."
        )
    if summary.python_s >= _UNSEEN_PYTHON_S and summary.not_sampled_s == summary.python_s:
        lines.append(
            f"Python functions were seen for none of {summary.python_s:.1f} s: {_no_python(summary)}"
        )
    if any(not one.final for one in summary.stats):
        lines.append("The last moments are missing: a process was killed, or is still running.")
    return lines


def _excess(summary: Summary) -> list[str]:
    """Where the rows together are not what the processes' clocks say."""
    by_s = summary.excess_s
    how = f"{abs(by_s):.3f} s ({percent(abs(by_s), summary.process_cpu_s)} %)"
    if by_s > 0:
        why = "Some time is told twice: please report it, unless the process was killed, which leaves its clock behind."
        return [f"{how} more are shown than the process's own clock says. {why}"]
    if by_s < 0:
        return [
            f"{how} of what the process has used are not shown: profiles were dropped, or have not come yet."
        ]
    return []


def _no_python(summary: Summary) -> str:
    if all(one.agent_home == "embedded" for one in summary.stats):
        return "they need an agent beside the program, GST_PYROSCOPE_AGENT=process."
    return (
        "pyroscope-io could not be started (then the program's stderr says why), came up too late,"
        " or is in use by the program itself."
    )
