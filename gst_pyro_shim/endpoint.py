# SPDX-License-Identifier: MIT
"""The server that profiles are pushed to: its address, and the headers that it wants.

Context: agent.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from gst_pyro_shim.errors import ConfigError

if TYPE_CHECKING:
    from gst_pyro_shim.config import Settings

PUSH_PATH: Final = "/push.v1.PusherService/Push"
SPY_NAME: Final = "gst-pyro-shim"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to push, with what credentials. Its repr and its texts hold no secret.

    Attributes:
        url: as shown to people: no user, no password, no trailing "/".
        identity: url, tenant, and a digest of what else may name an account there. A spool is kept apart by it:
            profiles of one identity are never sent to another.
    """

    url: str
    identity: str
    https: bool
    host: str
    port: int
    path: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)

    @classmethod
    def of(cls, settings: Settings) -> Endpoint:
        """Reads the settings.

        Raises:
            ConfigError: the URL or a header cannot be used.
        """
        try:
            parts = urlsplit(settings.server_url)
            port = parts.port
        except ValueError as error:
            raise ConfigError(
                f"server_url {_without_user(settings.server_url)!r}: {error}"
            ) from None
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ConfigError(
                f"server_url {_without_user(settings.server_url)!r} is no http:// or https:// URL"
            )
        https = parts.scheme == "https"
        host = ascii_host(parts.hostname)
        name = f"[{host}]" if ":" in host else host
        place = name if port is None else f"{name}:{port}"
        base = parts.path.rstrip("/")
        headers = [
            ("Host", place),
            ("Content-Type", "application/proto"),
            ("Content-Encoding", "gzip"),
            ("Accept-Encoding", "identity"),
            ("User-Agent", SPY_NAME),
            ("Connection", "close"),
        ]
        own = [*_authorization(settings, parts.username, parts.password)]
        if settings.tenant_id:
            own.append(("X-Scope-OrgID", settings.tenant_id))
        own += [(key, value.get_secret_value()) for key, value in settings.http_headers.items()]
        for key, value in own:
            # A line break would start a header of somebody else's choice.
            if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", key) or re.search(
                r"[\x00-\x08\x0a-\x1f\x7f]", value
            ):
                raise ConfigError(
                    f"HTTP header {key!r}: its name or its value cannot stand in a request"
                )
        url = f"{parts.scheme}://{place}{base}"
        return cls(
            url=url,
            identity=f"{url} {settings.tenant_id or ''}{_account(settings, parts.username)}",
            https=https,
            host=host,
            port=port or (443 if https else 80),
            path=base + PUSH_PATH,
            headers=(*headers, *own),
        )


def ascii_host(name: str) -> str:
    """A server's name as it goes over the wire.

    Raises:
        UnicodeError: it has no such form.
    """
    return name if name.isascii() else name.encode("idna").decode("ascii")


def _account(settings: Settings, user: str | None) -> str:
    """A digest of the user, else of token and headers; a password may change. "" where there is nothing of these."""
    user = settings.basic_auth_user or unquote(user or "")
    token = settings.bearer_token.get_secret_value() if settings.bearer_token else ""
    headers = sorted(
        (key.lower(), value.get_secret_value()) for key, value in settings.http_headers.items()
    )
    if not (user or token or headers):
        return ""
    # Imported here: it loads OpenSSL, which plain HTTP has no need of.
    import hashlib

    return " " + hashlib.sha256(repr((user, token, headers)).encode()).hexdigest()[:16]


def _without_user(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//", url)


def _authorization(
    settings: Settings, user: str | None, password: str | None
) -> list[tuple[str, str]]:
    """The settings hold one way at most; a user may also be in the URL, which is quoted there."""
    if settings.bearer_token is not None:
        return [("Authorization", f"Bearer {settings.bearer_token.get_secret_value()}")]
    if settings.basic_auth_user is not None:
        user = settings.basic_auth_user
        password = (
            settings.basic_auth_password.get_secret_value() if settings.basic_auth_password else ""
        )
    elif user is not None:
        user, password = unquote(user), unquote(password or "")
    else:
        return []
    pair = f"{user}:{password}".encode()
    return [("Authorization", "Basic " + binascii.b2a_base64(pair, newline=False).decode())]
