# SPDX-License-Identifier: MIT
"""How settings are shown to people: values, what is allowed, and the message that refuses a value.

Context: controller, and the agent at its start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from gst_pyro_shim.errors import ConfigError
from gst_pyro_shim.settings.address import MASK, without_user

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

_KEY = "[key]"
"""pydantic's mark of an error in a dictionary's key."""


def as_text(value: Any) -> str:
    """A value as one would write it in the environment, with `***` for a secret."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict):
        return ",".join(f"{name}={as_text(content)}" for name, content in value.items())
    if isinstance(value, SecretStr):
        return MASK
    return "" if value is None else str(value)


def allowed(info: FieldInfo) -> str:
    """What values a field takes, in words."""
    return str(_extra(info)["allowed"])


def shown_default(info: FieldInfo) -> str:
    """The default of a field, in words; "not set" where there is none."""
    words = _extra(info)["shown_default"]
    if words is not None:
        return str(words)
    return "not set" if info.default is None else as_text(info.default)


def _extra(info: FieldInfo) -> dict[str, Any]:
    assert isinstance(info.json_schema_extra, dict)  # every field is made by _setting() of model.py
    return info.json_schema_extra


def refusal_of_value(
    details: ErrorDetails, given: str, origin: str, info: FieldInfo
) -> ConfigError:
    """The error for a value that a field does not take.

    Args:
        details: what pydantic found.
        given: the user's text.
        origin: variable, tracer parameter or flag that it is from.
        info: the field.
    """
    is_secret = "SecretStr" in str(info.annotation)
    value = (
        MASK
        if is_secret
        else repr(without_user(given) if details["loc"] == ("server_url",) else given)
    )
    reason = ": ".join(filter(None, (_item(details, is_secret=is_secret), _reason(details))))
    because = f" ({reason})" if reason else ""
    return ConfigError(
        f"{origin}={value} is not allowed{because}: it must be {allowed(info)}",
        f"Correct it, or leave it out for the default ({shown_default(info)}).",
    )


def _item(details: ErrorDetails, *, is_secret: bool) -> str:
    """Which item of a list of pairs is wrong; "" for other settings, and for secrets: its name may be one."""
    _, *item = details["loc"]
    if not item or is_secret:
        return ""
    return f"name {item[0]!r}" if _KEY in item else f"value of {item[0]}"


def _reason(details: ErrorDetails) -> str:
    """What is wrong, where that is more than `allowed` says."""
    if details["type"] == "value_error":
        return str(details["ctx"]["error"])
    return "not UTF-8" if details["type"] == "string_unicode" else ""


def refusal_of_combination(details: ErrorDetails, prefix: str) -> ConfigError:
    """The error for fields that contradict each other; `prefix` is that of the environment's variables."""
    return ConfigError(
        f"settings contradict each other: {details['ctx']['error']}",
        f"Each name belongs to a variable {prefix}..., a tracer parameter or a flag."
        " Keep one way to authenticate; a password needs its user.",
    )
