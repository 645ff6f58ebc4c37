# SPDX-License-Identifier: MIT
"""The one description of every setting: name, meaning, unit, default, bounds, and where its value comes from.

A field `sample_rate` is `GST_PYROSCOPE_SAMPLE_RATE` in the environment, `sample-rate` among the tracer's
parameters and `--sample-rate` on the command line. docs/configuration.md is generated from this file, and
the C side reads only what it needs before the agent is there (csrc/shim/base/settings.c; tests hold both together).

Context: controller, and the agent at its start.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)

from gst_pyro_shim.errors import ConfigError
from gst_pyro_shim.protocol import CONTROLLER_ENV
from gst_pyro_shim.settings import address, values

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic.config import JsonDict
    from pydantic_core import ErrorDetails

ENV_PREFIX = "GST_PYROSCOPE_"
OVERRIDE_ENV = "GST_PYROSCOPE_OVERRIDE"
"""Names, comma-separated, of the fields whose environment variable stands for a command line flag."""
# Between our own parts, not for users.
_INTERNAL_ENV = frozenset({OVERRIDE_ENV, CONTROLLER_ENV})

# GStreamer's own parameter of tracers; GST_TRACERS='pyroscope(flags=element)' is as good as 'pyroscope'.
_IGNORED_PARAMETERS = frozenset({"flags"})
# Set to nothing, these say something; every other variable is then as good as not set.
_EMPTY_COUNTS = frozenset({"spool_dir", "tags", "http_headers"})

SAMPLE_RATE_MIN = 1
SAMPLE_RATE_MAX = 1000
UPLOAD_INTERVAL_MIN_S = 0.1
UPLOAD_INTERVAL_MAX_S = 600.0
AUTO_NAMES_MAX = 1_000_000
FIRST_OF_FACTORY = 4
"""Names made by GStreamer that each factory keeps, however few `auto_names` are kept."""
NAMES_IN_A_FILE = 2048
"""A file has no series: a pipeline with some thousand elements is shown whole."""


def _setting(
    default: Any, description: str, allowed: str, *, shown_default: str | None = None
) -> Any:
    extra: JsonDict = {"allowed": allowed, "shown_default": shown_default}
    return Field(default=default, description=description, json_schema_extra=extra)


class Settings(BaseModel):
    """What the user wants. Immutable; made by `load`, or directly in tests."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=False)

    server_url: Annotated[str, BeforeValidator(values.server_url)] = _setting(
        "http://localhost:4040",
        "Pyroscope server to push to.",
        "an http:// or https:// URL without query; user:password@ in it means basic auth",
    )
    tracer_name: Annotated[str, BeforeValidator(values.label_value)] = _setting(
        "gstreamer",
        "Application name in Pyroscope (the label `service_name`).",
        "1 to 2048 bytes of text without control characters",
    )
    sample_rate: Annotated[
        int, BeforeValidator(values.whole_number), Field(ge=SAMPLE_RATE_MIN, le=SAMPLE_RATE_MAX)
    ] = _setting(
        100,
        "Stacks sampled per second of CPU time of a thread, in Hz. Times by element are exact at any rate.",
        f"a whole number from {SAMPLE_RATE_MIN} to {SAMPLE_RATE_MAX}",
    )
    stop_agent_on_dispose: Annotated[bool, BeforeValidator(values.boolean)] = _setting(
        True,
        "Stop the agent when the tracer is disposed (`gst_deinit`); `false` leaves it to the end of the process.",
        "true or false (also 1 or 0, yes or no, on or off)",
    )
    tags: Annotated[dict[str, str], BeforeValidator(values.tags)] = _setting(
        {},
        "Static labels of everything that is pushed, for example `host=cam3,site=north`.",
        "k1=v1,k2=v2: up to 20 names of letters, digits and _, none of Pyroscope's or of ours",
        shown_default="none",
    )
    basic_auth_user: Annotated[str | None, BeforeValidator(values.basic_auth_user)] = _setting(
        None, "User for HTTP basic authentication.", "text on one line, without colon"
    )
    basic_auth_password: Annotated[SecretStr | None, BeforeValidator(values.header_text)] = (
        _setting(None, "Password for HTTP basic authentication.", "text on one line")
    )
    bearer_token: Annotated[SecretStr | None, BeforeValidator(values.header_text)] = _setting(
        None, "Token for `Authorization: Bearer`.", "text on one line"
    )
    tenant_id: Annotated[str | None, BeforeValidator(values.tenant_id)] = _setting(
        None,
        "Tenant of a Pyroscope server with multitenancy (`X-Scope-OrgID`).",
        "1 to 150 of the characters A-Z a-z 0-9 ! - _ . * ' ( )",
    )
    http_headers: Annotated[dict[str, SecretStr], BeforeValidator(values.http_headers)] = _setting(
        {},
        "Further headers of each push.",
        "name=value,name=value or name: value; none of those that make up the request",
        shown_default="none",
    )
    upload_interval: Annotated[
        float,
        BeforeValidator(values.decimal_number),
        Field(ge=UPLOAD_INTERVAL_MIN_S, le=UPLOAD_INTERVAL_MAX_S),
    ] = _setting(
        10.0,
        "Length of the window that one profile covers, in seconds.",
        f"a number from {UPLOAD_INTERVAL_MIN_S:g} to {UPLOAD_INTERVAL_MAX_S:g}",
    )
    log_level: Annotated[
        Literal["error", "warning", "info", "debug"], BeforeValidator(values.lowered)
    ] = _setting(
        "warning",
        "What the agent says on stderr. GStreamer's own log (`GST_DEBUG=pyroscope:5`) has all of it.",
        "error, warning, info or debug",
    )
    output: Annotated[str | None, BeforeValidator(values.output)] = _setting(
        None,
        "File for the profile of the whole run; `%p` in it becomes the process id. "
        "Nothing is pushed then, unless a server is named too.",
        "a path that ends in .pb.gz",
    )
    spool_dir: Annotated[str | None, BeforeValidator(values.spool_dir)] = _setting(
        None,
        "Directory for profiles that wait for a server that is away.",
        "an absolute path; empty: profiles wait in memory only",
        shown_default="`$XDG_STATE_HOME/gst-pyro-shim/spool`, where not set `~/.local/state/gst-pyro-shim/spool`",
    )
    auto_names: Annotated[
        int, BeforeValidator(values.whole_number), Field(ge=0, le=AUTO_NAMES_MAX)
    ] = _setting(
        200,
        "Names made by GStreamer (`identity4711`) that are told one by one, in the life of a process. "
        f"Further ones count under their factory, `identity*`, but for the first {FIRST_OF_FACTORY} of each. "
        f"Names that people gave are kept. At least {NAMES_IN_A_FILE} where no server is pushed to.",
        f"a whole number from 0 to {AUTO_NAMES_MAX}",
    )
    server_symbolizes: Annotated[bool, BeforeValidator(values.boolean)] = _setting(
        False,
        "Leave functions without a name to the server's symbolizer. It must be on there (`-symbolizer.enabled=true`): "
        "a server without it shows stacks without these functions.",
        "true or false (also 1 or 0, yes or no, on or off)",
    )
    python_memory: Annotated[bool, BeforeValidator(values.boolean)] = _setting(
        False,
        "Have pyroscope-io sample the allocations of a Python program too; they go to the server, as `memory`.",
        "true or false (also 1 or 0, yes or no, on or off)",
    )
    agent: Literal["auto", "embedded", "process"] = _setting(
        "auto",
        "Where the agent runs: in a process beside the profiled one, or on a thread in it (docs/homes.md). "
        "Under `run` it is `run` itself, whatever this says.",
        "auto, embedded or process",
    )
    python: Annotated[str | None, BeforeValidator(values.absolute_path)] = _setting(
        None,
        "Python executable of the environment that holds gst-pyro-shim; `run` and `env` set it.",
        "an absolute path",
        shown_default="found beside the agent library",
    )

    @model_validator(mode="after")
    def _one_authentication(self) -> Self:
        if self.basic_auth_password is not None and self.basic_auth_user is None:
            raise ValueError("BASIC_AUTH_PASSWORD is set without BASIC_AUTH_USER")
        ways = {
            "BEARER_TOKEN": self.bearer_token is not None,
            "BASIC_AUTH_USER": self.basic_auth_user is not None,
            "HTTP_HEADERS (Authorization)": any(
                name.lower() == "authorization" for name in self.http_headers
            ),
            "SERVER_URL (user@)": "@" in self.server_url,
        }
        used = [name for name, is_used in ways.items() if is_used]
        if len(used) > 1:
            raise ValueError(f"more than one way to authenticate: {' and '.join(used)}")
        return self

    @property
    def server_is_set(self) -> bool:
        """Somebody named a server, be it the default one."""
        return "server_url" in self.model_fields_set

    @classmethod
    def load(cls, params: Mapping[str, str], environ: Mapping[str, str]) -> Settings:
        """Settings from the tracer's parameters and the environment.

        A field named in GST_PYROSCOPE_OVERRIDE comes from the environment; of the others a parameter wins over a
        variable, and both over the default.

        Args:
            params: the tracer's parameters, kebab-case.
            environ: of the profiled process.

        Raises:
            ConfigError: names the variable or parameter, its value (unless secret) and what is allowed.
        """
        _refuse_unknown_parameters(params)
        overridden = set(environ.get(OVERRIDE_ENV, "").split(","))
        given: dict[str, Any] = {}
        origin: dict[str, str] = {}
        for name in cls.model_fields:
            from_env, from_params = environ.get(env_name(name)), params.get(kebab(name))
            if from_env == "" and name not in _EMPTY_COUNTS:
                from_env = None
            if from_params is not None and not (name in overridden and from_env is not None):
                given[name], origin[name] = from_params, f"tracer parameter {kebab(name)}"
            elif from_env is not None:
                given[name] = from_env
                origin[name] = f"--{kebab(name)}" if name in overridden else env_name(name)
        spool_is_set = "spool_dir" in given
        try:
            settings = cls.model_validate(given)
        except ValidationError as error:
            raise _config_error(error.errors(include_url=False)[0], origin) from None
        if spool_is_set:
            return settings
        return settings.model_copy(update={"spool_dir": default_spool_dir(environ)})

    def masked(self) -> dict[str, str]:
        """Every setting as text for a log, by field name; what is secret as `***`, what is not set as ""."""
        texts = {name: values.masked(getattr(self, name)) for name in type(self).model_fields}
        return texts | {"server_url": address.without_user(self.server_url)}

    def __repr_args__(self) -> Iterator[tuple[str, str]]:
        """What repr() shows, tracebacks and logs of others included: no secret either."""
        return iter(self.masked().items())


def env_name(field: str) -> str:
    """Environment variable of a field."""
    return ENV_PREFIX + field.upper()


def kebab(field: str) -> str:
    """Tracer parameter, and with `--` before it flag, of a field."""
    return field.replace("_", "-")


def allowed(field: str) -> str:
    """What values a field takes, in words."""
    return str(_extra(field)["allowed"])


def shown_default(field: str) -> str:
    """The default of a field, in words; "not set" where there is none."""
    words = _extra(field)["shown_default"]
    if words is not None:
        return str(words)
    default = Settings.model_fields[field].default
    return "not set" if default is None else values.as_text(default)


def _extra(field: str) -> dict[str, Any]:
    extra = Settings.model_fields[field].json_schema_extra
    assert isinstance(extra, dict)  # every field is made by _setting()
    return extra


def default_spool_dir(environ: Mapping[str, str]) -> str:
    """Where the XDG base directory specification puts state; "" where there is no home."""
    state = environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(state):  # the specification: relative paths are to be ignored
        home = environ.get("HOME", "")
        if not os.path.isabs(home):
            return ""
        state = os.path.join(home, ".local", "state")
    return os.path.join(state, "gst-pyro-shim", "spool")


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Variables with our prefix that are no setting: most likely misspelt."""
    known = {*_INTERNAL_ENV, *(env_name(field) for field in Settings.model_fields)}
    return sorted(name for name in environ if name.startswith(ENV_PREFIX) and name not in known)


def _refuse_unknown_parameters(params: Mapping[str, str]) -> None:
    known = [kebab(field) for field in Settings.model_fields]
    for name in params:
        if name not in known and name not in _IGNORED_PARAMETERS:
            raise ConfigError(
                f"tracer parameter {name} is not known", f"There are: {', '.join(known)}."
            )


def _config_error(details: ErrorDetails, origin: Mapping[str, str]) -> ConfigError:
    if not details["loc"]:  # fields that contradict each other
        return ConfigError(
            f"settings contradict each other: {details['ctx']['error']}",
            f"Each stands for {ENV_PREFIX}..., for the tracer parameter or for the flag of that name. Take one away.",
        )
    field = str(details["loc"][0])
    given = details["input"]
    if field == "server_url":
        given = address.without_user(given)
    value = values.shown(given, secret=is_secret(field))
    reason = str(details["ctx"]["error"]) if details["type"] == "value_error" else ""
    because = f" ({reason})" if reason else ""
    return ConfigError(
        f"{origin[field]}={value} is not allowed{because}: it must be {allowed(field)}",
        f"Correct it, or leave it out for the default ({shown_default(field)}).",
    )


def is_secret(field: str) -> bool:
    """Whether a field's value may never be shown."""
    return "SecretStr" in str(Settings.model_fields[field].annotation)
