# SPDX-License-Identifier: MIT
"""What profiling costs: `make bench`. Method, budgets and the last table: README.md."""
