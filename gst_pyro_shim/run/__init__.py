# SPDX-License-Identifier: MIT
"""The command `run`: the target, its environment, and the programs that may still report after its end.

Context: controller.
Imports: agent, pprof, push, settings, views.
"""
