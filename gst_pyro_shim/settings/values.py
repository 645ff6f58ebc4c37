# SPDX-License-Identifier: MIT
"""How the text of a setting becomes its value, and how a value is shown.

Each reader takes text, or a value that is right already, and raises ValueError with the reason; model.py says
which setting it was and what is allowed. White space around a value is no part of it, but for the settings that C
reads as well (csrc/shim/base/settings.c): what it would take for something else is refused here.

Context: controller, and the agent at its start.
"""

from __future__ import annotations

import os
import re
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from gst_pyro_shim.settings.address import MASK, ascii_host

LABEL_VALUE_BYTES = 2048
LABEL_NAME_BYTES = 1024
# A series has room for 30 labels; the other ten are the samples' and the exporter's own.
TAGS_MAX = 20

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_WHOLE = re.compile(r"[0-9]{1,9}")
_DECIMAL = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TENANT = re.compile(r"[A-Za-z0-9!_.*'()-]{1,150}")
_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off"})
# A series label hides a sample's label of the same name; the rest Pyroscope gives a meaning of its own.
_TAKEN_TAGS = frozenset(
    {
        "element", "factory", "pipeline", "thread", "path",
        "service_name", "pyroscope_spy", "span_id", "trace_id", "profile_id",
        "service_repository", "service_git_ref", "service_root_path",
    }
)  # fmt: skip
_TAKEN_HEADERS = frozenset(
    {
        "host", "content-length", "content-type", "content-encoding", "transfer-encoding",
        "accept-encoding", "connection", "user-agent", "x-scope-orgid",
    }
)  # fmt: skip


def text(value: Any) -> Any:
    """Text without white space around it; anything else as it is."""
    if not isinstance(value, str):
        return value
    value = value.strip()
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("not UTF-8") from None
    return value


def lowered(value: Any) -> Any:
    """A word, in lower case."""
    value = text(value)
    return value.lower() if isinstance(value, str) else value


def whole_number(value: Any) -> Any:
    """Digits and nothing else: no sign, no fraction, no unit, no white space."""
    return int(_matching(_WHOLE, value)) if isinstance(value, str) else value


def decimal_number(value: Any) -> Any:
    """Digits with at most one point: no sign, no exponent, no unit."""
    return float(_matching(_DECIMAL, text(value))) if isinstance(value, str) else value


def boolean(value: Any) -> Any:
    """One of the usual words for yes and no."""
    if not isinstance(value, str):
        return value
    word = value.lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise ValueError("")


def label_value(value: Any) -> Any:
    """A label's value as Pyroscope takes it; an empty one would disappear there."""
    value = text(value)
    if isinstance(value, str):
        if not value:
            raise ValueError("empty")
        if _CONTROL.search(value):
            raise ValueError("control character")
        if len(value.encode("utf-8")) > LABEL_VALUE_BYTES:
            raise ValueError(f"more than {LABEL_VALUE_BYTES} bytes")
    return value


def header_text(value: Any) -> Any:
    """What can stand in a header: one line. A break would start a header of somebody else's choice."""
    value = text(value)
    if _CONTROL.search(as_text(value)):
        raise ValueError("control character")
    return value


def basic_auth_user(value: Any) -> Any:
    """A user; the first colon of the pair ends it."""
    value = header_text(value)
    if isinstance(value, str) and ":" in value:
        raise ValueError("colon")
    return value


def tenant_id(value: Any) -> Any:
    """A tenant, as the server's own check has it."""
    value = text(value)
    if isinstance(value, str) and (not _TENANT.fullmatch(value) or value in {".", ".."}):
        raise ValueError("")
    return value


def absolute_path(value: Any) -> Any:
    """A path that means the same in every working directory."""
    if isinstance(value, str) and not os.path.isabs(value):
        raise ValueError("relative")
    return value


def spool_dir(value: Any) -> Any:
    """An absolute path, or empty for none."""
    value = text(value)
    return absolute_path(value) if value else value


def output(value: Any) -> Any:
    """A file name whose end says what is in it."""
    value = text(value)
    if isinstance(value, str) and not value.endswith(".pb.gz"):
        raise ValueError("")
    return value


def server_url(value: Any) -> Any:
    """A base URL without a "/" at its end."""
    value = text(value)
    if not isinstance(value, str):
        return value
    if _CONTROL.search(value) or " " in value:
        raise ValueError("white space")
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:  # its text may repeat a piece of a password
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


def tags(value: Any) -> Any:
    """k1=v1,k2=v2."""
    pairs = dict(_pairs(value, "=")) if isinstance(value, str) else value
    if isinstance(pairs, dict):
        if len(pairs) > TAGS_MAX:
            raise ValueError(f"{len(pairs)} tags")
        for name, tag in pairs.items():
            if not _LABEL_NAME.fullmatch(name) or len(name) > LABEL_NAME_BYTES:
                raise ValueError(f"name {name!r}")
            if name.startswith("__") or name in _TAKEN_TAGS:
                raise ValueError(f"name {name} is taken")
            label_value(tag)
    return pairs


def http_headers(value: Any) -> Any:
    """name=value,name=value or name: value. No reason repeats a value: they are secrets."""
    pairs = dict(_pairs(value, "=:")) if isinstance(value, str) else value
    if isinstance(pairs, dict):
        for name, content in pairs.items():
            if not _HEADER_NAME.fullmatch(name):
                raise ValueError("a name is none")
            if name.lower() in _TAKEN_HEADERS:
                raise ValueError(f"header {name} is taken")
            header_text(content)
    return pairs


def _pairs(value: str, separators: str) -> list[tuple[str, str]]:
    value = text(value)
    pairs: list[tuple[str, str]] = []
    for number, item in enumerate(value.split(",") if value else (), start=1):
        name, separator, content = _split_at_first(item, separators)
        if not separator or not name:
            raise ValueError(f"item {number} has no name and value")
        if any(name == other for other, _ in pairs):
            raise ValueError(f"{name} is there twice")
        pairs.append((name, content))
    return pairs


def _split_at_first(item: str, separators: str) -> tuple[str, str, str]:
    found = re.search(f"[{separators}]", item)
    if found is None:
        return item.strip(), "", ""
    return item[: found.start()].strip(), found[0], item[found.end() :].strip()


def _matching(pattern: re.Pattern[str], value: str) -> str:
    if not pattern.fullmatch(value):
        raise ValueError("")
    return value


def as_text(value: Any) -> str:
    """A value as one would write it in the environment."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict):
        return ",".join(f"{name}={as_text(content)}" for name, content in value.items())
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return "" if value is None else str(value)


def masked(value: Any) -> str:
    """A value for a log: no secret in it. A URL goes through `address.without_user` as well."""
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, dict):
        return ",".join(f"{name}={masked(content)}" for name, content in value.items())
    return as_text(value)


def shown(value: Any, *, secret: bool) -> str:
    """What a user gave, in the message that refuses it."""
    return MASK if secret else repr(value)
