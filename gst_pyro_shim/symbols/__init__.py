# SPDX-License-Identifier: MIT
"""Names of functions: ELF files, demangling, run-time code, debuginfod.

Context: agent.
Imports: pprof, segment.
"""
