# SPDX-License-Identifier: MIT
"""A record's words become frames, with the elements' own frames among the functions.

Context: agent. Format of records: csrc/shared/abi.h, struct gp_record.
"""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from gst_pyro_shim.paths import SHIM_NAME
from gst_pyro_shim.pprof.model import TRUNCATED, UNKNOWN, Frame
from gst_pyro_shim.segment.abi import constant
from gst_pyro_shim.symbols.symbolize import is_named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gst_pyro_shim.segment.rows import Label

_TAGGED: Final = 1 << 63
_OPERAND: Final = (1 << 56) - 1
_TAG_LABEL: Final = constant("GP_FRAME_LABEL")
_TAG_UNKNOWN: Final = constant("GP_FRAME_UNKNOWN")
_TAG_TRUNCATED: Final = constant("GP_FRAME_TRUNCATED")
_TAG_EXACT: Final = constant("GP_FRAME_EXACT")
_MARKERS: Final = {_TAG_UNKNOWN: UNKNOWN, _TAG_TRUNCATED: TRUNCATED}

_WORD: Final = 8
_CUT_BYTES: Final = 64 * _WORD
_CUT_MARK: Final = struct.pack("=Q", _TAGGED | _TAG_TRUNCATED << 56)

# What stands on the root side of a thread's own function: the thread's start in libc, then our function around it.
_LIBC: Final = ("libc.", "libc-", "libpthread", "ld-linux")
_LIBC_ENTRY_FRAMES: Final = 2
_SHIM: Final = "libgstpyro"
# Functions of the shim that stand around the host's own: calls that it redirects and passes on. What they do themselves
# stands on the leaf's side of them, in functions of other names.
_PASSING_ON: Final = frozenset(
    {
        "thread_main",
        "run_pool_call",
        "open_here",
        "gp_hooks_send_event",
        "gp_redirect_dlclose",
        "gp_names_orc_take_code",
        "gp_pool_new",
        "gp_pool_new_full",
        "gp_pool_push",
        "gp_python_ensure",
        "gp_python_restore",
        "gp_trampoline_create",
    }
)

_MAX_FRAMES: Final = 1_000_000
"""Of all remembered stacks; some 24 MB. Stacks have 30 frames as a rule, and a thousand in pipelines of hundreds."""


@dataclass(frozen=True, slots=True)
class Stack:
    """A resolved stack.

    Attributes:
        frames: leaf first.
        identity: equal for stacks whose frames are the same objects; small, and cheap to hash, where frames are not.
        named: its leaf has a function's name.
    """

    frames: tuple[Frame, ...]
    identity: bytes
    named: bool


class PcSource(Protocol):
    """Names addresses: a `Symbolizer`."""

    @property
    def version(self) -> int:
        """Raised when it would name an address otherwise than before."""

    def frames(self, pc: int, generation: int) -> tuple[Frame, ...]:
        """The function at `pc` and what was inlined there, innermost first."""


class LabelSource(Protocol):
    """Knows labels by their keys: `Labels`."""

    version: int

    def label(self, key: int) -> Label:
        """A label; one that does not exist reads as CPU of no element."""

    def frame(self, key: int) -> Frame:
        """The frame that stands for it; the same object each time."""


class Stacks:
    """Resolves stacks and remembers them over windows, within bounds."""

    def __init__(self, labels: LabelSource, symbolizer: PcSource) -> None:
        """Starts empty."""
        self._labels = labels
        self._symbolizer = symbolizer
        self._known: dict[tuple[int, bytes], Stack] = {}
        self._known_frames = 0
        self._version = self._versions()

    def _versions(self) -> tuple[int, int]:
        return self._symbolizer.version, self._labels.version

    def resolve(self, label: int, key: bytes) -> Stack:
        """The stack of a record with this label.

        Args:
            label: key of the innermost label; it stands in the stack even where no tag says so.
            key: see `stack_key`.
        """
        if self._version != self._versions():
            self._version = self._versions()
            self._known.clear()
            self._known_frames = 0
        known = self._known.get((label, key))
        if known is None:
            frames = tuple(self._frames(label, key))
            named = bool(frames) and is_named(frames[0])
            known = Stack(frames, array("Q", map(id, frames)).tobytes(), named)
            self._make_room(len(frames))
            self._known[label, key] = known
        return known

    def _make_room(self, frames: int) -> None:
        """Forgets the oldest half where there would be too many."""
        self._known_frames += frames
        if self._known_frames > _MAX_FRAMES:
            for old in list(self._known)[: len(self._known) // 2 + 1]:
                self._known_frames -= len(self._known.pop(old).frames)

    def _frames(self, label: int, key: bytes) -> list[Frame]:
        generation, *words = struct.unpack(f"=I{(len(key) - 4) // _WORD}Q", key)
        look_up = self._symbolizer.frames
        frames: list[Frame] = []
        is_placed = False
        cut = hidden = None
        for at, word in enumerate(words):
            if word < _TAGGED:
                # A return address is that of the next instruction, maybe of the next function.
                met = look_up(word if at == 0 else word - 1, generation)
                frames += met if at == 0 else (one for one in met if not _passes_on(one))
                continue
            tag, operand = word >> 56 & 0x7F, word & _OPERAND
            if tag == _TAG_LABEL:
                frames.append(self._labels.frame(operand))
                is_placed |= operand == label
                hidden = cut
            elif tag == _TAG_EXACT:
                frames += look_up(operand, generation)
            elif tag in _MARKERS:
                frames.append(_MARKERS[tag])
                cut = len(frames) if tag == _TAG_TRUNCATED else cut
        if not is_placed:
            is_main = self._labels.label(label).kind == "main"
            at = len(frames) if is_main else entry_index(frames)
            # An outer one behind what `cut_key` has cut: the innermost one's tag was in there.
            frames.insert(at if hidden is None else hidden, self._labels.frame(label))
        return frames


def _passes_on(frame: Frame) -> bool:
    """Whether a caller is the shim's, and no more than in between. Of a stripped shim nobody can say."""
    return frame.name in _PASSING_ON and frame.module.endswith(f"/{SHIM_NAME}")


def stack_key(data: bytes, at: int, depth: int) -> bytes:
    """What tells the stack of the record at `at` from others: generation of the module list, and frames."""
    return data[at + 24 : at + 28] + data[at + 32 : at + 32 + depth * _WORD]


def cut_key(key: bytes) -> bytes:
    """A key of bounded length: leaf side and root side of a deep stack, with [truncated] between."""
    if len(key) <= 4 + 2 * _CUT_BYTES + _WORD:
        return key
    return key[: 4 + _CUT_BYTES] + _CUT_MARK + key[-_CUT_BYTES:]


def entry_index(frames: Sequence[Frame]) -> int:
    """Where the thread's own label belongs: right after the thread's entry, which is at the end (the root)."""
    end = len(frames)
    if end and frames[-1] is TRUNCATED:
        return end - 1
    at, in_libc = end, 0
    while at > 0 and frames[at - 1].kind == "native":
        name = frames[at - 1].module.rpartition("/")[2]
        if name.startswith(_LIBC) and in_libc < _LIBC_ENTRY_FRAMES:
            in_libc += 1
        elif not name.startswith(_SHIM):
            break
        at -= 1
    # A thread that has nothing else on its stack is still starting, or ending: its function is the leaf.
    return at if at > 0 else end
