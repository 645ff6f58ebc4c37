# SPDX-License-Identifier: MIT
"""The settings: their one model, and how text becomes a value."""
