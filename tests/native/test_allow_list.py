# SPDX-License-Identifier: MIT
"""What runs in signal context imports nothing that is not known to be safe there.

Holds csrc/shim/signal/ to its word. Compiled as in the product, since what a compiler puts in by
itself (memset, __tls_get_addr, __stack_chk_fail) depends on flags.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

import build_shim
from tests.native import harness

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

pytestmark = pytest.mark.native

# Written by other files, read by the handler: data, no calls.
DATA = frozenset(
    {
        "g_active",
        "g_events_may_rest",
        "g_interval_ns",
        "g_perf_slots",
        "g_poller_rests",
        "g_segment",
        "g_threads",
        "t_thread",
    }
)
COMPILERS = ("gcc", "clang")


def allowed() -> set[str]:
    lines = (harness.HERE / "as_safe_symbols.txt").read_text(encoding="utf-8").splitlines()
    return {line for line in lines if line and not line.startswith("#")}


def symbols(objects: Sequence[Path], *flags: str) -> set[str]:
    command = ["nm", "-P", *flags, *map(str, objects)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [line.split() for line in done.stdout.splitlines()]
    return {words[0] for words in lines if len(words) > 1}


def unsafe_imports(objects: Sequence[Path]) -> set[str]:
    own = symbols(objects, "--defined-only")
    return symbols(objects, "-u") - own - DATA - {"_GLOBAL_OFFSET_TABLE_"} - allowed()


@functools.cache
def compiled(compiler: str) -> tuple[Path, ...]:
    """Objects of all that runs in signal context, as the product has them."""
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler} here")
    files = build_shim.SIGNAL.glob("*.c")
    return tuple(build_shim.shim_objects(harness.toolchain(with_compiler=compiler), sorted(files)))


@pytest.mark.parametrize("compiler", COMPILERS)
def test_the_handler_calls_nothing_outside_the_list(compiler: str) -> None:
    assert unsafe_imports(compiled(compiler)) == set()


WAIT_FOR_THE_LOADER = {"dladdr", "dladdr1", "dlclose", "dlopen", "dlsym", "dlvsym"}


def test_threads_of_the_host_do_not_wait_for_the_loader() -> None:
    objects = build_shim.shim_objects(harness.toolchain(), harness.run_by_host_threads())
    assert symbols(objects, "-u") & WAIT_FOR_THE_LOADER == set()


CRAFTED = {
    "malloc": "#include <stdlib.h>\nvoid *f (void);\nvoid *f (void) { return malloc (1); }",
    # As compilers write it, where they may choose the model; the newest keep to the one of the command line.
    "__tls_get_addr": "void *__tls_get_addr (void *);\nvoid *f (void);\nvoid *f (void) { return __tls_get_addr (0); }",
}


@pytest.mark.parametrize("name", CRAFTED)
def test_a_crafted_handler_is_caught(tmp_path: Path, name: str) -> None:
    source = tmp_path / "crafted.c"
    source.write_text(CRAFTED[name], encoding="utf-8")
    (crafted,) = build_shim.shim_objects(build_shim.Toolchain(tmp_path), [source])
    assert name in unsafe_imports([*compiled("gcc"), crafted])
