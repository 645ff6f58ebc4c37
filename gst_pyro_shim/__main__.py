# SPDX-License-Identifier: MIT
"""`python -m gst_pyro_shim`.

Context: controller.
"""

import sys

from gst_pyro_shim.cli import main

if __name__ == "__main__":
    sys.exit(main())
