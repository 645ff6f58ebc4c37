# SPDX-License-Identifier: MIT
"""A Go program that runs pipelines: its runtime handles every signal that can be ignored, and runs no exit handlers.

Context: tests.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.hosts import (
    TARGETS,
    WAYS,
    clean_environment,
    environment,
    profile,
    run,
)

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

STATUS = 3


@pytest.fixture(scope="module")
def pipelines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("go") is None:
        pytest.skip("Go is not installed: apt-get install golang-go")
    folder = tmp_path_factory.mktemp("go")
    program = folder / "pipelines"
    # Nothing is fetched: it needs the standard library alone.
    env = os.environ | {"GOCACHE": str(folder / "cache"), "GOTOOLCHAIN": "local", "GOFLAGS": ""}
    command = ["go", "build", "-o", str(program), str(TARGETS / "pipelines.go")]
    subprocess.run(command, env=env | {"CGO_ENABLED": "1"}, check=True)
    return program


@pytest.mark.parametrize("way", WAYS)
def test_its_elements_are_sampled_and_the_profile_arrives(
    pipelines: Path, way: str, tmp_path: Path
) -> None:
    """No sample, and without exit handlers no profile, before."""
    done, seen = profile([str(pipelines)], tmp_path, way=way)
    assert done.status == STATUS
    if way != "run":
        assert (done.out, done.err) == ("", "")
    samples = seen.data["samples"]
    assert samples > 0
    total = seen.self_s("first") + seen.self_s("second")
    assert total > 0.5 * seen.data["accounted_cpu_s"]
    # They do the same work; what it costs depends on whether the processor's other thread is busy meanwhile.
    assert 0.25 < seen.self_s("first") / total < 0.75
    rows = [row for row in seen.data["elements"] if row["name"] in {"first", "second"}]
    assert sum(row["samples"] for row in rows) / samples > 0.5
    assert seen.data["stacks"]["complete"] > 0


def test_what_it_becomes_starts_with_the_defaults(pipelines: Path, tmp_path: Path) -> None:
    become = [str(pipelines), "/bin/sh", "-c", "kill -34 $$; exit 7"]
    alone = run(become, clean_environment())
    output = str(tmp_path / "x.pb.gz")
    assert run(become, environment("preload", output=output)).status == alone.status
    stays = [str(pipelines), "/bin/sh", "-c", "exit 7"]
    assert run(stays, environment("preload", output=output)).status == 7
