# SPDX-License-Identifier: MIT
"""Profiles as data: the model, pprof's encoding and decoding, sums, and what comments carry.

Context: agent and controller.
Imports: segment.
"""
