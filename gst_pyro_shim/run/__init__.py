# SPDX-License-Identifier: MIT
"""The command `run`: the target, its environment, and who still sends after its end.

Context: controller.
Imports: agent, pprof, push, settings, views.
"""
