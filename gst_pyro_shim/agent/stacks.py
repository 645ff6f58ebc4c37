# SPDX-License-Identifier: MIT
"""A record's words become frames: functions, and the elements' frames among them.

The format of records is that of csrc/shared/abi.h, struct gp_record.

Context: agent.
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

# On the root side of a thread's own function there are libc's frames that start a thread, then our function around it.
_LIBC: Final = ("libc.", "libc-", "libpthread", "ld-linux")
_LIBC_ENTRY_FRAMES: Final = 2
_SHIM: Final = "libgstpyro"
# Functions of the shim that only call the host's own: calls that it redirects. They are left out of stacks as callers.
# What they do themselves is in functions of other names, on their leaf side, and is shown.
_PASSING_ON: Final = frozenset(
    {
        "thread_main",
        "run_context_call",
        "run_pool_call",
        "open_here",
        "gp_construction_poll",
        "gp_construction_ppoll",
        "gp_context_invoke",
        "gp_context_invoke_full",
        "gp_hooks_send_event",
        "gp_loading_close",
        "gp_loading_new",
        "gp_loading_open",
        "gp_loading_trap",
        "gp_names_orc_take_code",
        "gp_pool_free",
        "gp_pool_new",
        "gp_pool_new_full",
        "gp_pool_push",
        "gp_probes_run",
        "gp_python_ensure",
        "gp_python_restore",
        "gp_redirect_dlclose",
        "gp_renderers_broadcast",
        "gp_renderers_lock",
        "gp_renderers_signal",
        "gp_renderers_wait",
        "gp_sigtimedwait",
        "gp_sigwait",
        "gp_sigwaitinfo",
        "gp_trampoline_create",
        "gp_trampoline_create_renderer",
    }
)

_MAX_FRAMES: Final = 1_000_000
"""Of all cached stacks; some 24 MB. A stack usually has 30 frames, a thousand in a pipeline of hundreds of elements."""


@dataclass(frozen=True, slots=True)
class Stack:
    """A resolved stack.

    Attributes:
        frames: leaf first.
        identity: equal for stacks whose frames are the same objects; small and cheap to hash, which frames are not.
        named: the leaf has a function's name.
    """

    frames: tuple[Frame, ...]
    identity: bytes
    named: bool


class PcSource(Protocol):
    """Names addresses: a `Symbolizer`."""

    @property
    def version(self) -> int:
        """Increased when an address that was named before would be named otherwise now."""

    def frames(self, pc: int, generation: int) -> tuple[Frame, ...]:
        """The function at `pc` and the calls inlined there, innermost first."""


class LabelSource(Protocol):
    """Labels by their keys: a `Labels`."""

    version: int

    def label(self, key: int) -> Label:
        """A label; one that does not exist reads as CPU time of no element."""

    def frame(self, key: int) -> Frame:
        """The frame of a label; the same object each time."""


class Stacks:
    """Resolves stacks and caches them over windows; the cache is bounded."""

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
        """The stack of a record.

        Args:
            label: key of the innermost label. Its frame is in the stack even where no tag places it.
            key: of the stack (`stack_key`).
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
        """Discards the oldest half of the cache where it would exceed its bound."""
        self._known_frames += frames
        if self._known_frames > _MAX_FRAMES:
            for old in list(self._known)[: len(self._known) // 2 + 1]:
                self._known_frames -= len(self._known.pop(old).frames)

    def _frames(self, label: int, key: bytes) -> list[Frame]:
        generation, *words = struct.unpack(f"=I{(len(key) - 4) // _WORD}Q", key)
        look_up = self._symbolizer.frames
        frames: list[Frame] = []
        is_placed = False
        # Index after the last [truncated], and the same where an element's frame follows it.
        after_cut = outer_cut = None
        for at, word in enumerate(words):
            if word < _TAGGED:
                # A return address is that of the next instruction, which may be in the next function.
                found = look_up(word if at == 0 else word - 1, generation)
                frames += found if at == 0 else (one for one in found if not _passes_on(one))
                continue
            tag, operand = word >> 56 & 0x7F, word & _OPERAND
            if tag == _TAG_LABEL:
                frames.append(self._labels.frame(operand))
                is_placed |= operand == label
                outer_cut = after_cut
            elif tag == _TAG_EXACT:
                frames += look_up(operand, generation)
            elif tag in _MARKERS:
                frames.append(_MARKERS[tag])
                after_cut = len(frames) if tag == _TAG_TRUNCATED else after_cut
        if not is_placed:
            is_main = self._labels.label(label).kind == "main"
            at = len(frames) if is_main else entry_index(frames)
            # Where an outer element's frame follows a cut of `cut_key`, the innermost one's tag was in what was cut.
            frames.insert(at if outer_cut is None else outer_cut, self._labels.frame(label))
        return frames


def _passes_on(frame: Frame) -> bool:
    """Whether a caller is a function of the shim around the host's own; always False where the shim is stripped."""
    return frame.name in _PASSING_ON and frame.module.endswith(f"/{SHIM_NAME}")


def stack_key(data: bytes, at: int, depth: int) -> bytes:
    """Identifies the stack of a record: generation of the module list (4 bytes), and frames (8 bytes each).

    Args:
        data: drained records.
        at: offset of the record.
        depth: number of its frames.
    """
    return data[at + 24 : at + 28] + data[at + 32 : at + 32 + depth * _WORD]


def cut_key(key: bytes) -> bytes:
    """A key of bounded length: of a deep stack leaf side and root side, with [truncated] between."""
    if len(key) <= 4 + 2 * _CUT_BYTES + _WORD:
        return key
    return key[: 4 + _CUT_BYTES] + _CUT_MARK + key[-_CUT_BYTES:]


def entry_index(frames: Sequence[Frame]) -> int:
    """Index for the frame of a thread's own label: before the frames that start the thread, which are at the root."""
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
    # A thread with no other frames is still starting, or is ending.
    return at if at > 0 else end
