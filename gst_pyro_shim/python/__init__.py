# SPDX-License-Identifier: MIT
"""Python's own samples: what runs in the host's interpreter, and what becomes of its profiles."""
