# SPDX-License-Identifier: MIT
"""The constants and structs of csrc/shared/abi.h, with types, and the kernel's clocks.

Context: agent. Needs nothing but the extension `_native`: importing both costs a millisecond.
"""

from __future__ import annotations

from typing import Any, Final, Protocol, cast

from gst_pyro_shim import _native

_lib: Any = _native.lib
_ffi: Any = _native.ffi


class CEnum(Protocol):
    """An enum type as cffi describes it."""

    @property
    def elements(self) -> dict[int, str]:
        """Enumerator's name by value."""


def enum_names(name: str, prefix: str) -> dict[int, str]:
    """Wire names of an enum of abi.h, by value: the enumerators in lower case, without their prefix.

    Args:
        name: of the enum.
        prefix: of its enumerators; those without it are left out.
    """
    kind = cast("CEnum", _ffi.typeof(f"enum {name}"))
    return {
        value: text.removeprefix(prefix).lower()
        for value, text in kind.elements.items()
        if text.startswith(prefix)
    }


def constant(name: str) -> int:
    """Value of an enumerator.

    Raises:
        AttributeError: there is none of this name.
    """
    return int(getattr(_lib, name))


_LABEL_BITS: Final = constant("GP_LABEL_BITS")
_LABEL_MASK: Final = (1 << _LABEL_BITS) - 1


def label_key(number: int, serial: int) -> int:
    """A label's row number and the row's serial as one number.

    Rows are used again, so drained records and rows name a label by this key (reader.h, enum gp_label_key).
    """
    return serial << _LABEL_BITS | number


def label_of_key(key: int) -> tuple[int, int]:
    """Row number and serial of a label; undoes `label_key`."""
    return key & _LABEL_MASK, key >> _LABEL_BITS


def mono_ns() -> int:
    """CLOCK_MONOTONIC from the kernel, ns. A preload such as libfaketime may change what `time` returns."""
    return int(_lib.gp_reader_mono_ns())


def real_ns() -> int:
    """Time since 1970 from the kernel, ns."""
    return int(_lib.gp_reader_real_ns())


class CLabel(Protocol):
    """struct gp_label."""

    state: int
    serial: int
    kind: int
    name: int
    factory: int
    parent: int
    auto_named: int
    gone: int
    is_own_work: int


class CModule(Protocol):
    """struct gp_module."""

    start: int
    end: int
    bias: int
    path: int
    build_id: int
    added: int
    removed: int


class CName(Protocol):
    """struct gp_name."""

    address: int
    bytes: int
    text: int
    generation: int


class CSegment(Protocol):
    """struct gp_segment: the fields that Python reads."""

    host_pid: int
    sample_rate_hz: int
    start_mono_ns: int
    start_real_ns: int
    agent_home: int
    stop_on_dispose: int
    host_state: int
    agent_state: int
    wake: int
    clock: int
    close_mono_ns: int
    process_cpu_ns: int
    labels_moved: int
    module_count: int
    generation: int
    strings_used: int
    threads_seen: int
    python_state: int
    counters: list[int]
    labels: list[CLabel]
    modules: list[CModule]
    names: list[CName]
