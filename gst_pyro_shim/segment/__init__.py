# SPDX-License-Identifier: MIT
"""The shared memory as the agent reads it.

Context: agent.
Imports: nothing.
"""
