# SPDX-License-Identifier: MIT
"""Names of functions: ELF files, demangling, code compiled at run time, debuginfod.

Context: agent.
Imports: pprof, segment.
"""
