# SPDX-License-Identifier: MIT
"""The types of the settings: what text is allowed, and the value it becomes.

They are pydantic's own types and constraints. A validator of ours is there for what these cannot say: a length in
bytes, words that are taken, lists of pairs in one text, whole numbers as C reads them, and the server's URL. Such a
validator raises ValueError with a reason; messages.py makes the message.

White space around a value is no part of it. But where C reads a setting as well (csrc/shim/base/settings.c), a value
with white space is refused, because C would take it for another value.

Why not pydantic's AnyHttpUrl: it drops line breaks and tabs inside a URL, takes `https:/host` and port 0, and reads
`http://user:1/2@host` as the host `user`.

Context: controller, and the agent at its start.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, StringConstraints

from gst_pyro_shim.settings.address import ascii_host

LABEL_VALUE_BYTES: Final = 2048
LABEL_NAME_BYTES: Final = 1024
# A series has room for 30 labels; the other ten are the samples' and the exporter's own.
TAGS_MAX: Final = 20

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_ONE_LINE: Final = r"^[^\x00-\x1f\x7f]*$"
_WHOLE: Final = re.compile(r"[0-9]{1,9}")
# A series label hides a sample's label of the same name; the others have a meaning of their own in Pyroscope.
_TAKEN_TAGS: Final = frozenset(
    {
        "element", "factory", "pipeline", "thread", "path",
        "service_name", "pyroscope_spy", "span_id", "trace_id", "profile_id",
        "service_repository", "service_git_ref", "service_root_path",
    }
)  # fmt: skip
_TAKEN_HEADERS: Final = frozenset(
    {
        "host", "content-length", "content-type", "content-encoding", "transfer-encoding",
        "accept-encoding", "connection", "user-agent", "x-scope-orgid",
    }
)  # fmt: skip


def _stripped(pattern: str, min_length: int = 0) -> StringConstraints:
    return StringConstraints(strip_whitespace=True, pattern=pattern, min_length=min_length)


def _digits(value: Any) -> Any:
    """Digits and nothing else: pydantic's `int` also takes `+5`, `1_0`, `100.0` and white space."""
    if isinstance(value, str) and not _WHOLE.fullmatch(value):
        raise ValueError("")
    return value


def _label_value(value: str) -> str:
    if len(value.encode("utf-8")) > LABEL_VALUE_BYTES:
        raise ValueError(f"more than {LABEL_VALUE_BYTES} bytes")
    return value


def _tag_name(name: str) -> str:
    if name.startswith("__") or name in _TAKEN_TAGS:
        raise ValueError("taken")
    return name


def _header_name(name: str) -> str:
    if name.lower() in _TAKEN_HEADERS:
        raise ValueError(f"header {name} is taken")
    return name


def _header_text(value: SecretStr) -> SecretStr:
    """A line break would begin another header."""
    text = value.get_secret_value().strip()
    if _CONTROL.search(text):
        raise ValueError("control character")
    return SecretStr(text)


def _tenant_id(value: str) -> str:
    if value in {".", ".."}:
        raise ValueError("")
    return value


def _pairs(separators: str) -> BeforeValidator:
    """Reads `name=value,name=value`; each of `separators` may stand for "="."""
    item = re.compile(f"([^{separators}]*)[{separators}](.*)", re.DOTALL)

    def read(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        pairs: dict[str, str] = {}
        for number, text in enumerate(value.split(",") if value.strip() else (), start=1):
            found = item.fullmatch(text)
            name = found[1].strip() if found else ""
            if found is None or not name:
                raise ValueError(f"item {number} has no name and value")
            if name in pairs:
                raise ValueError(f"{name} is there twice")
            pairs[name] = found[2].strip()
        return pairs

    return BeforeValidator(read)


def _server_url(value: str) -> str:
    """A base URL without a "/" at its end. No reason repeats a part of it, which may be a password."""
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError("host or port") from None
    if parts.scheme not in {"http", "https"}:
        raise ValueError("no http:// or https:// before it")
    if not parts.hostname:
        raise ValueError("no host")
    try:
        ascii_host(parts.hostname)
    except UnicodeError:
        raise ValueError("host") from None
    if port == 0:
        raise ValueError("port 0")
    if parts.query or parts.fragment:
        raise ValueError("query or fragment")
    if "@" in parts.path:  # http://user:1/2@host would push to the host "user"
        raise ValueError("@ in the path; / in a password is written %2F")
    return value.rstrip("/")


def _lowered(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


WholeNumber = Annotated[int, BeforeValidator(_digits)]
Lowered: Final = BeforeValidator(_lowered)
ServerUrl = Annotated[str, _stripped(r"^[^\x00-\x20\x7f]*$"), AfterValidator(_server_url)]
LabelValue = Annotated[str, _stripped(_ONE_LINE, min_length=1), AfterValidator(_label_value)]
AuthUser = Annotated[str, _stripped(r"^[^\x00-\x1f\x7f:]*$")]  # a colon would begin the password
HeaderText = Annotated[SecretStr, AfterValidator(_header_text)]
TenantId = Annotated[str, _stripped(r"^[A-Za-z0-9!_.*'()-]{1,150}$"), AfterValidator(_tenant_id)]
AbsolutePath = Annotated[str, StringConstraints(pattern="^/")]
SpoolDir = Annotated[str, _stripped("^(/|$)")]
OutputFile = Annotated[str, _stripped(r"\.pb\.gz$")]
_TagName = Annotated[
    str,
    StringConstraints(pattern="^[a-zA-Z_][a-zA-Z0-9_]*$", max_length=LABEL_NAME_BYTES),
    AfterValidator(_tag_name),
]
Tags = Annotated[dict[_TagName, LabelValue], _pairs("="), Field(max_length=TAGS_MAX)]
_HeaderName = Annotated[
    str,
    StringConstraints(pattern="^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"),
    AfterValidator(_header_name),
]
Headers = Annotated[dict[_HeaderName, HeaderText], _pairs("=:")]
