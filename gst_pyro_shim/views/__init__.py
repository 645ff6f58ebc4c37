# SPDX-License-Identifier: MIT
"""What users look at: tables, the flame graph page, the graph of a pipeline.

Context: controller.
Imports: pprof, segment.
"""
