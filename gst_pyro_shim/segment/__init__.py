# SPDX-License-Identifier: MIT
"""The shared memory, from the agent's side: records, rows, and what agent and shim ask of each other.

Context: agent.
Imports: nothing.
"""
