# SPDX-License-Identifier: MIT
"""Text that may be shown on a terminal, wherever it came from.

Context: agent and controller. Pure.
"""


def printable(text: str) -> str:
    """`text` without what would move a terminal's cursor or break a line, and without what is no Unicode."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
