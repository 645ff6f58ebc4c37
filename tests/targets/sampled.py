# SPDX-License-Identifier: MIT
"""Whether our pyroscope-io is up in this program, and whether the test has seen enough: for hosts that wait for either.

Context: tests, in hosts (the distribution's python3).
"""

import os
import sys
from pathlib import Path


def is_sampled():
    module = sys.modules.get("pyroscope")
    return hasattr(module, "lib") and module.lib.initialize_agent.__name__ == "make_way"


def is_wanted():
    """tests.support.hosts.run_until() takes its file away once it has seen enough."""
    return Path(os.environ.get("GP_TEST_UNTIL", "/nowhere")).exists()
