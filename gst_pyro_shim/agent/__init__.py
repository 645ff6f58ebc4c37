# SPDX-License-Identifier: MIT
"""The agent: drains the shared memory, makes a profile of each window, and hands it to delivery. Start at agent.py.

Context: agent.
Imports: pprof, push, python, segment, settings, symbols.
"""
