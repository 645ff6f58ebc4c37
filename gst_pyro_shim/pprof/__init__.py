# SPDX-License-Identifier: MIT
"""Profiles as data: the model, pprof's encoding and decoding, sums, and the content of comments.

Context: agent and controller.
Imports: segment.
"""
