# SPDX-License-Identifier: MIT
"""Makes any text safe to print on a terminal.

Context: agent and controller. Pure.
"""


def printable(text: str) -> str:
    """`text` with escapes for all that would move the cursor or break a line, and for what is not Unicode."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
