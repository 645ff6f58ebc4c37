# SPDX-License-Identifier: MIT
"""What several tests share: hosts to profile, profiles, servers, a shim in Python."""
