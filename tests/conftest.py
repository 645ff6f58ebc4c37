# SPDX-License-Identifier: MIT
"""What all tests share: no test touches the user's registry cache, spool or server.

Context: tests.
"""

from __future__ import annotations

import os
import signal

import hypothesis
import pytest

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.register_profile("quick", deadline=None, max_examples=20)
hypothesis.settings.load_profile(os.environ.get("GP_HYPOTHESIS_PROFILE", "untimed"))

# A shell without job control starts its background commands deaf to Ctrl-C, and programs inherit it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def is_sanitized(item: pytest.Item) -> bool:
    """Whether one of its parameters is a build with a sanitizer."""
    parameters = getattr(item, "callspec", None)
    if parameters is None:
        return False
    return any(
        (name in {"sanitize", "sanitizer"} and value is not None) or "-fsanitize" in str(value)
        for name, value in parameters.params.items()
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A hypervisor that takes a processor away for some milliseconds is no fault of ours, twice in a row it may be.

    `make accuracy` counts each failure. What runs for as long as it is told to (`make soak`) is no part of `make test`.
    """
    for item in items:
        if is_sanitized(item):
            item.add_marker(pytest.mark.sanitizers)
        if item.get_closest_marker("measured") and "GP_ACCURACY_RUNS" not in os.environ:
            item.add_marker(pytest.mark.flaky(reruns=1))
    if "GP_SOAK_MINUTES" not in os.environ:
        soaks = [item for item in items if item.get_closest_marker("soak")]
        config.hook.pytest_deselected(items=soaks)
        items[:] = [item for item in items if not item.get_closest_marker("soak")]


@pytest.fixture(scope="session", autouse=True)
def private_folders(tmp_path_factory: pytest.TempPathFactory) -> None:
    """One registry cache and one state folder for the whole session."""
    folder = tmp_path_factory.mktemp("private")
    os.environ["GST_REGISTRY"] = str(folder / "registry.bin")
    os.environ["XDG_STATE_HOME"] = str(folder / "state")
