# SPDX-License-Identifier: MIT
"""The command `run`: the target, its environment, and who still sends after its end."""
