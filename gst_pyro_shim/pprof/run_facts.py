# SPDX-License-Identifier: MIT
"""What `run` observed of a target from outside: enough to explain why nothing was sampled.

The file carries it as a comment, `gst-pyro-run {json}`, so that `report` can repeat the explanation.

Context: controller.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Final

from gst_pyro_shim.pprof import comments

if TYPE_CHECKING:
    from pathlib import Path

IS_STATIC: Final = "is linked statically"
_KIND: Final = "gst-pyro-run"
_TYPES: Final[dict[str, type]] = {
    "str": str,
    "bool": bool,
    "list[str]": list,
    "dict[str, int]": dict,
}
_ELF_HEADER: Final = 64
_PT_INTERP: Final = 3
_MAX_PROGRAM_HEADERS: Final = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """One run of one target.

    Attributes:
        program: name of the command, without folders and without its arguments (URLs hold secrets).
        end: how it ended, "ended with status 0".
        registry_update_off: GST_REGISTRY_UPDATE=no was in its environment.
        registry_written: GStreamer wrote its plugin registry during the run, so it was initialized.
        registry_has_tracer: that registry lists our plugin.
        preload_ignored: why the loader ignores LD_PRELOAD for this program; "" where it does not.
        problems: sentences on what went wrong in `run` itself.
        counters: what `run` itself refused or lost, by wire name.
    """

    program: str
    end: str
    registry_update_off: bool = False
    registry_written: bool = False
    registry_has_tracer: bool = False
    preload_ignored: str = ""
    problems: list[str] = field(default_factory=list)
    counters: dict[str, int] = field(default_factory=dict)

    def to_comment(self) -> str:
        """The comment to put into the file."""
        return comments.write(_KIND, asdict(self))

    @classmethod
    def from_comment(cls, comment: str) -> RunFacts | None:
        """The facts in `comment`; None where it is another comment, or damaged. Unknown keys are left out."""
        given = comments.read_fields(_KIND, comment, cls)
        if given is None:
            return None
        try:
            facts = cls(**given)
        except TypeError:  # one is missing
            return None
        return facts if facts._has_right_types() else None

    def _has_right_types(self) -> bool:
        return (
            all(isinstance(getattr(self, one.name), _TYPES[str(one.type)]) for one in fields(self))
            and all(isinstance(problem, str) for problem in self.problems)
            and all(map(comments.is_integer, self.counters.values()))
        )

    def why_nothing_came(self) -> list[str]:
        """Two sentences: why no agent reported, and what to do about it."""
        name = self.program
        if self.preload_ignored:
            why = f"{name} {self.preload_ignored}: the loader ignores LD_PRELOAD for it."
            do = (
                "Profile a build that is linked dynamically."
                if self.preload_ignored == IS_STATIC
                else "Profile a copy of it without these rights, as the user that it becomes."
            )
        elif self.registry_has_tracer:
            # A registry that listed the tracer before this run does not show that this program loaded it.
            why = (
                f"No agent reported: the tracer refused its settings or could not start, or {name}"
                f" {self.end} before it was up"
            )
            why += (
                "."
                if self.registry_written
                else (
                    ", or never initialized GStreamer, or LD_PRELOAD was lost on the way (sudo, env -i,"
                    " containers, sandboxes)."
                )
            )
            do = "What the tracer refused is printed above; GST_DEBUG=GST_TRACER:5,pyroscope:5 shows more."
        elif self.registry_update_off:
            why = "GST_REGISTRY_UPDATE=no keeps GStreamer from finding the tracer."
            do = "Run once without GST_REGISTRY_UPDATE."
        elif self.registry_written:
            why = f"{name} uses GStreamer, but the tracer's plugin could not be loaded."
            do = "GST_DEBUG=GST_REGISTRY:4,GST_PLUGIN_LOADING:4 says why."
        else:
            why = (
                f"The tracer was not loaded: {name} is no GStreamer program, or it {self.end}"
                " before it initialized GStreamer, or LD_PRELOAD was lost on the way (sudo, env -i,"
                " containers, sandboxes)."
            )
            do = "Put `run --` in front of the GStreamer program itself."
        return [why, do]


def why_preload_is_ignored(program: Path) -> str:
    """Why the loader ignores LD_PRELOAD for a program.

    Returns:
        The rest of a sentence that begins with the program's name; "" where LD_PRELOAD works, or cannot be judged.
    """
    try:
        status = program.stat()
        with program.open("rb") as file:
            head = file.read(_ELF_HEADER)
            if head[:5] != b"\x7fELF\x02":
                return ""
            at = int.from_bytes(head[32:40], "little")
            size = int.from_bytes(head[54:56], "little")
            count = int.from_bytes(head[56:58], "little")
            file.seek(at)
            headers = file.read(min(size * count, _MAX_PROGRAM_HEADERS))
    except OSError:
        return ""
    if os.geteuid() != 0 and status.st_mode & 0o6000:
        return "is set-user-ID or set-group-ID"
    if os.geteuid() != 0 and "security.capability" in _attributes(program):
        return "has file capabilities"
    kinds = {int.from_bytes(headers[at : at + 4], "little") for at in range(0, len(headers), size)}
    return "" if _PT_INTERP in kinds else IS_STATIC


def _attributes(path: Path) -> list[str]:
    try:
        return os.listxattr(path)
    except OSError:
        return []
