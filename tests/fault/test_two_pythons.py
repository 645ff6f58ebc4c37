# SPDX-License-Identifier: MIT
"""A host that starts a Python of its own, whenever and however it comes to it, runs as without us.

Context: tests.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from gst_pyro_shim import paths
from tests.support.hosts import (
    HOMES,
    Done,
    clean_environment,
    compile_host,
    compile_plugin,
    core_plugins,
    environment,
    run,
)
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    Host = Callable[[str, int, Mapping[str, str]], Done]

pytestmark = [pytest.mark.integration, pytest.mark.fault]

# While the tracer comes up, while an interpreter of ours would come up, when it is up.
DELAYS_MS = (0, 3, 10, 30, 100, 400, 1500)
WAYS_TO_PYTHON = ("linked", "dlopen", "plugin")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Host:
    """Runs starts_python.c: how it comes to Python, when, in which environment."""
    folder = tmp_path_factory.mktemp("starts-python")
    libpython = paths.libpython_path()
    if libpython is None:
        pytest.skip("this Python has no shared libpython")
    plain = compile_host("starts_python.c", folder)
    (folder / "linked").mkdir()
    link = [str(libpython), f"-Wl,-rpath,{libpython.parent}"]
    linked = compile_host("starts_python.c", folder / "linked", "-DLINKED", *link)
    plugins = folder / "plugins"
    plugins.mkdir()
    compile_plugin("gstneedspython.c", plugins, *link)

    def start(how: str, delay_ms: int, env: Mapping[str, str]) -> Done:
        program = linked if how == "linked" else plain
        # A registry of few plugins, so that nothing but the program itself brings a Python.
        more = {
            "GST_PLUGIN_SYSTEM_PATH_1_0": "",
            "GST_PLUGIN_PATH_1_0": f"{core_plugins()}:{plugins if how == 'plugin' else ''}",
            "GST_REGISTRY": str(folder / f"registry-{how}-{'LD_PRELOAD' in env}.bin"),
            # Else the program's Python would be the one that comes first on PATH.
            "PYTHONHOME": sys.base_prefix,
        }
        command = [str(program), how, str(delay_ms), str(libpython), "needspython"]
        return run(command, {**env, **more})

    return start


@pytest.mark.parametrize("delay_ms", DELAYS_MS)
@pytest.mark.parametrize("how", WAYS_TO_PYTHON)
@pytest.mark.parametrize("home", ["auto", "embedded"])  # auto is process, but for pid 1
def test_a_host_that_starts_python_runs_as_without_us(
    host: Host, home: str, how: str, delay_ms: int, tmp_path: Path
) -> None:
    alone = host(how, delay_ms, clean_environment())
    assert (alone.status, "was there: 0" in alone.out) == (6, True), alone.err
    output = tmp_path / "x.pb.gz"
    done = host(how, delay_ms, environment("preload", home, output=str(output)))
    assert (done.status, done.out) == (alone.status, alone.out), done.err
    if home != "embedded":
        assert done.err == alone.err
        wait_for(output.exists)
    elif done.err:
        # In a program that never had it, an interpreter of ours makes way, and says so.
        assert done.err.startswith("gst-pyro: the program brings a Python of its own: ")
        assert done.err.count("\n") == 1


@pytest.mark.parametrize("home", ["auto", *HOMES])
def test_a_program_with_a_python_in_it_has_its_profile(
    host: Host, home: str, tmp_path: Path
) -> None:
    """Where it is there from the start, no interpreter of ours comes in."""
    output = tmp_path / "x.pb.gz"
    done = host("linked", 0, environment("preload", home, output=str(output)))
    assert (done.status, done.err) == (6, "")
    wait_for(output.exists)
