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

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gst_pyro_shim.errors import ConfigError
from gst_pyro_shim.protocol import CONTROLLER_ENV
from gst_pyro_shim.settings import address, messages, values

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic.config import JsonDict

ENV_PREFIX = "GST_PYROSCOPE_"
OVERRIDE_ENV = "GST_PYROSCOPE_OVERRIDE"
"""Names, comma-separated, of the fields whose environment variable carries a flag of the command line."""
# Between parts of ours, not for users.
_INTERNAL_ENV = frozenset({OVERRIDE_ENV, CONTROLLER_ENV})

# GStreamer's own parameter of all tracers: GST_TRACERS='pyroscope(flags=element)' means the same as 'pyroscope'.
_IGNORED_PARAMETERS = frozenset({"flags"})
# An empty variable is a value for these; every other setting counts as not set then.
_EMPTY_COUNTS = frozenset({"spool_dir", "tags", "http_headers"})

SAMPLE_RATE_MIN = 1
SAMPLE_RATE_MAX = 1000
UPLOAD_INTERVAL_MIN_S = 0.1
UPLOAD_INTERVAL_MAX_S = 600.0
AUTO_NAMES_MAX = 1_000_000
FIRST_OF_FACTORY = 4
"""Names made by GStreamer that each factory keeps, even with a smaller `auto_names`."""
NAMES_IN_A_FILE = 2048
"""A file has no limit of series, so a pipeline with some thousand elements is shown whole."""


def _setting(
    default: Any, description: str, allowed: str, *, shown_default: str | None = None
) -> Any:
    extra: JsonDict = {"allowed": allowed, "shown_default": shown_default}
    return Field(default=default, description=description, json_schema_extra=extra)


class Settings(BaseModel):
    """The user's settings. Immutable; made by `load`, in tests directly."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=False)

    server_url: values.ServerUrl = _setting(
        "http://localhost:4040",
        "Pyroscope server to push to.",
        "an http:// or https:// URL without query or white space; user:password@ in it means basic auth",
    )
    tracer_name: values.LabelValue = _setting(
        "gstreamer",
        "Application name in Pyroscope (the label `service_name`).",
        "1 to 2048 bytes of text without control characters",
    )
    sample_rate: Annotated[values.WholeNumber, Field(ge=SAMPLE_RATE_MIN, le=SAMPLE_RATE_MAX)] = (
        _setting(
            100,
            "Stacks sampled per second of CPU time of a thread, in Hz. Times by element are exact at any rate.",
            f"a whole number from {SAMPLE_RATE_MIN} to {SAMPLE_RATE_MAX}",
        )
    )
    stop_agent_on_dispose: bool = _setting(
        True,
        "Stop the agent when the tracer is disposed (`gst_deinit`); `false` leaves it to the end of the process.",
        "true or false (also 1 or 0, yes or no, on or off)",
    )
    tags: values.Tags = _setting(
        {},
        "Static labels of everything that is pushed, for example `host=cam3,site=north`.",
        "k1=v1,k2=v2: up to 20 names of letters, digits and _, none of Pyroscope's or of ours",
        shown_default="none",
    )
    basic_auth_user: values.AuthUser | None = _setting(
        None, "User for HTTP basic authentication.", "text on one line, without colon"
    )
    basic_auth_password: values.HeaderText | None = _setting(
        None, "Password for HTTP basic authentication.", "text on one line"
    )
    bearer_token: values.HeaderText | None = _setting(
        None, "Token for `Authorization: Bearer`.", "text on one line"
    )
    tenant_id: values.TenantId | None = _setting(
        None,
        "Tenant of a Pyroscope server with multitenancy (`X-Scope-OrgID`).",
        "1 to 150 of the characters A-Z a-z 0-9 ! - _ . * ' ( )",
    )
    http_headers: values.Headers = _setting(
        {},
        "Further headers of each push.",
        "name=value,name=value or name: value; none of those that make up the request",
        shown_default="none",
    )
    upload_interval: Annotated[float, Field(ge=UPLOAD_INTERVAL_MIN_S, le=UPLOAD_INTERVAL_MAX_S)] = (
        _setting(
            10.0,
            "Length of the window that one profile covers, in seconds.",
            f"a number from {UPLOAD_INTERVAL_MIN_S:g} to {UPLOAD_INTERVAL_MAX_S:g}",
        )
    )
    log_level: Annotated[Literal["error", "warning", "info", "debug"], values.Lowered] = _setting(
        "warning",
        "What the agent says on stderr. GStreamer's own log (`GST_DEBUG=pyroscope:5`) has all of it.",
        "error, warning, info or debug",
    )
    output: values.OutputFile | None = _setting(
        None,
        "File for the profile of the whole run; `%p` in it becomes the process id. "
        "Nothing is pushed then, unless a server is named too.",
        "a path that ends in .pb.gz",
    )
    spool_dir: values.SpoolDir | None = _setting(
        None,
        "Directory for profiles that wait for a server that is away.",
        "an absolute path; empty: profiles wait in memory only",
        shown_default="`$XDG_STATE_HOME/gst-pyro-shim/spool`, where not set `~/.local/state/gst-pyro-shim/spool`",
    )
    auto_names: Annotated[values.WholeNumber, Field(ge=0, le=AUTO_NAMES_MAX)] = _setting(
        200,
        "Names made by GStreamer (`identity4711`) that are kept apart, in the life of a process. "
        f"Further ones count under their factory, `identity*`, but for the first {FIRST_OF_FACTORY} of each. "
        f"Names that people gave are kept. At least {NAMES_IN_A_FILE} where no server is pushed to.",
        f"a whole number from 0 to {AUTO_NAMES_MAX}",
    )
    server_symbolizes: bool = _setting(
        False,
        "Leave functions without a name to the server's symbolizer. It must be on there (`-symbolizer.enabled=true`): "
        "a server without it shows stacks without these functions.",
        "true or false (also 1 or 0, yes or no, on or off)",
    )
    python_memory: bool = _setting(
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
    python: values.AbsolutePath | None = _setting(
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
        """Whether the user named a server, be it the default one."""
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
            details = error.errors(include_url=False)[0]
            if not details["loc"]:
                raise messages.refusal_of_combination(details, ENV_PREFIX) from None
            name = str(details["loc"][0])
            info = cls.model_fields[name]
            raise messages.refusal_of_value(details, given[name], origin[name], info) from None
        if spool_is_set:
            return settings
        return settings.model_copy(update={"spool_dir": default_spool_dir(environ)})

    def masked(self) -> dict[str, str]:
        """Every setting as text for a log, by field name: a secret as `***`, one that is not set as ""."""
        texts = {name: messages.as_text(getattr(self, name)) for name in type(self).model_fields}
        return texts | {"server_url": address.without_user(self.server_url)}

    def __repr_args__(self) -> Iterator[tuple[str, str]]:
        """What repr() shows, and so tracebacks and others' logs: no secret."""
        return iter(self.masked().items())


def env_name(field: str) -> str:
    """Environment variable of a field."""
    return ENV_PREFIX + field.upper()


def kebab(field: str) -> str:
    """Tracer parameter, and with `--` before it flag, of a field."""
    return field.replace("_", "-")


def allowed(field: str) -> str:
    """What values a field takes, in words."""
    return messages.allowed(Settings.model_fields[field])


def shown_default(field: str) -> str:
    """The default of a field, in words; "not set" where there is none."""
    return messages.shown_default(Settings.model_fields[field])


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
