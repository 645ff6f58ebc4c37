# SPDX-License-Identifier: MIT
"""The agent: drains the shared memory, makes windows of it and hands their profiles to delivery.

Context: agent.
Imports: pprof, push, python, segment, settings, symbols.
"""
