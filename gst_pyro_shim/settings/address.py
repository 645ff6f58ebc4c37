# SPDX-License-Identifier: MIT
"""A server's address: as it goes over the wire, and as it is shown, without its secrets.

Context: controller and agent. Pure, and without pydantic: what pushes imports it too.
"""

import re
from typing import Final

MASK: Final = "***"
"""What is shown in the place of a secret."""


def without_user(url: str) -> str:
    """A URL for people. A mistyped one may hold its password anywhere before the last "@"."""
    return re.sub(r"^(https?://)?.*@", rf"\1{MASK}@", url, flags=re.DOTALL)


def ascii_host(name: str) -> str:
    """A server's name as it goes over the wire.

    Raises:
        UnicodeError: it has no such form.
    """
    return name if name.isascii() else name.encode("idna").decode("ascii")
