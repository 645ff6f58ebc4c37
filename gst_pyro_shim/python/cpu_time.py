# SPDX-License-Identifier: MIT
"""A window's time in Python code, by Python functions.

    native samples with [python] ──> ns by labels ┐
                                                  ├──> functions with ns of the accounts
    pyroscope-io's samples of the same stretch ───┘

pyroscope-io samples by the wall clock, and threads too that wait for a processor: on a busy machine its sums are a
multiple of the CPU time. So the accounts decide how much time an element spent in Python, and pyroscope-io's samples
only divide that time among functions. Time for which the window has no sample is [python, not sampled].

Context: agent. Pure.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Final

from gst_pyro_shim.pprof.model import NOT_SAMPLED, Profile, Sample
from gst_pyro_shim.pprof.scaling import scale
from gst_pyro_shim.segment.rows import FIXED_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gst_pyro_shim.pprof.model import Frame

_Labels = tuple[tuple[str, str], ...]

_NUMBER: Final = re.compile(r"-?\d+(?=/|$)")
_NAMESAKE: Final = re.compile(r"#(\d+|\*)(?=[]/]|$)")
_OTHERS: Final[_Labels] = (("element", FIXED_NAMES["thread"]),)
_MAIN: Final[_Labels] = (("element", FIXED_NAMES["main"]),)


def python_profile(window: Profile, seen: Profile | None) -> Profile:
    """Divides the window's Python time among Python functions.

    Args:
        window: native samples, scaled to the accounts.
        seen: pyroscope-io's samples of the same time, with tags as labels; None where it pushed none.

    Returns:
        For each set of labels (the thread left out) exactly the ns that `window` has in Python code.
    """
    used: Counter[_Labels] = Counter()
    for sample in window.samples:
        if sample.cpu_ns and sample.python:
            used[tuple(one for one in sample.labels if one[0] != "thread")] += sample.cpu_ns
    stacks = _stacks(seen.samples if seen is not None else [], set(used))
    samples = []
    for labels, ns in used.items():
        found = stacks.get(labels)
        if found is None:
            samples.append(Sample((NOT_SAMPLED,), ns, 0, labels))
            continue
        parts = scale(list(found.values()), ns)
        samples += [
            Sample(frames, part, ticks, labels)
            for (frames, ticks), part in zip(found.items(), parts, strict=True)
            if part
        ]
    period_ns = seen.period_ns if seen is not None else 0
    return Profile(window.start_ns, window.duration_ns, period_ns, samples)


def _stacks(seen: list[Sample], known: set[_Labels]) -> dict[_Labels, Counter[tuple[Frame, ...]]]:
    """Ticks by labels and stack. Samples under labels without CPU time are left out: they waited for a processor."""
    ordered: defaultdict[_Labels, list[_Labels]] = defaultdict(list)
    for labels in known:
        ordered[_as_tagged(labels)].append(labels)
    has_folded = any(dict(labels)["element"].endswith("*") for labels in known)
    stacks: defaultdict[_Labels, Counter[tuple[Frame, ...]]] = defaultdict(Counter)
    for sample in seen:
        found = ordered.get(tuple(sorted(sample.labels)) or _OTHERS)
        if found is None and sample.labels in {(), _OTHERS}:
            # A thread without tags has run since before pyroscope-io was up. The main thread sets its tags itself, but
            # not while it is inside one C call.
            found = ordered.get(_MAIN)
        if found is None and has_folded:
            found = next(filter(None, map(ordered.get, _folded(dict(sample.labels)))), None)
        # Namesakes have the same tags: each keeps its own time, divided among the functions of all of them.
        for labels in found or () if sample.samples else ():
            stacks[labels][sample.frames] += sample.samples
    return stacks


def _as_tagged(labels: _Labels) -> _Labels:
    """Labels without the numbers of namesakes (agent/naming.py), sorted."""
    return tuple(
        sorted(
            (
                key,
                _NAMESAKE.sub("", text, count=1)
                if key in {"element", "pipeline", "path"}
                else text,
            )
            for key, text in labels
        )
    )


def _folded(tags: dict[str, str]) -> Iterator[_Labels]:
    """Labels that an element's tags may belong to where names were folded (agent/naming.py); tags never are."""
    if "factory" not in tags or not _NUMBER.search(tags.get("element", "")):
        return
    name = f"{tags['factory']}*"
    above = {key: tags[key] for key in ("pipeline", "path") if key in tags}
    for pairs in (above, {key: _NUMBER.sub("*", text) for key, text in above.items()}):
        found = tags | pairs | {"element": name}
        if "path" in found:
            found["path"] = f"{found['path'].rpartition('/')[0]}/{name}"
        yield tuple(sorted(found.items()))
