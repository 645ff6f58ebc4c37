# SPDX-License-Identifier: MIT
"""Formatting shared by all tables, on a terminal or in a file.

Context: controller.
"""

from __future__ import annotations

import re
from io import StringIO
from typing import TYPE_CHECKING, Final, TextIO

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rich.console import RenderableType

NAME_WIDTH: Final = 12
"""Minimum width of a column of names."""
_WIDE: Final = 10_000
"""Width where the file is no terminal: nothing is folded."""
_LEAST: Final = 56
"""Minimum width on a terminal."""
_ROWS: Final = 60
"""Maximum rows of a table. One line stands for the rest, unless all are asked for."""


def as_text(file: TextIO, parts: Callable[[int], Iterable[RenderableType]]) -> str:
    """Text for `file`: with colours and folded lines on a terminal, else plain and with names in full length.

    Args:
        file: where the text will be written. It is not written here.
        parts: the parts for a width in columns.
    """
    is_terminal = file.isatty()
    out = StringIO()
    console = Console(
        file=out,
        force_terminal=is_terminal,
        width=max(_LEAST, Console(file=file).width) if is_terminal else _WIDE,
        no_color=None if is_terminal else True,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )
    for part in parts(console.width):
        console.print(part)
    encoding = file.encoding or "utf-8"
    text = "\n".join(line.rstrip() for line in out.getvalue().splitlines()).strip("\n")
    text = re.sub(r"\n{3,}", "\n\n", text)
    if "─".encode(encoding, "ignore") == b"":
        text = text.replace("─", "-")
    return text.encode(encoding, "backslashreplace").decode(encoding)


def kept(rows: int, *, every_row: bool) -> int:
    """How many of `rows` a table shows. One row too many is shown: a line that stands for it would save nothing."""
    return rows if every_row or rows <= _ROWS + 1 else _ROWS


def more(rows: int) -> Text:
    """The line that stands for the rows beyond."""
    return Text(f"{rows} more: report --all", style="dim")


def percent(part: float, whole: float) -> str:
    """`part` as a percentage of `whole`; 0.0 if `whole` is 0, as a difference of times may be."""
    return f"{100 * part / whole if whole else 0.0:.1f}"
