# SPDX-License-Identifier: MIT
"""The settings: their one model, and how text becomes a value.

Context: controller, and the agent at its start.
Imports: nothing.
"""
