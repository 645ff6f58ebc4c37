# SPDX-License-Identifier: MIT
"""The way of a profile to a server or a file: delivery, HTTP, retries, the spool.

Context: agent.
Imports: pprof, settings.
"""
