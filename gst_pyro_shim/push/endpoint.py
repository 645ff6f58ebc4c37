# SPDX-License-Identifier: MIT
"""The server that profiles are pushed to: its address, and the headers that it wants.

Context: agent.
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from gst_pyro_shim.protocol import PUSH_PATH
from gst_pyro_shim.settings.address import MASK, ascii_host

if TYPE_CHECKING:
    from gst_pyro_shim.settings.model import Settings

SPY_NAME: Final = "gst-pyro-shim"
_SECRET_CHARS: Final = 4
"""A shorter secret would be found in any text."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to push, and with what credentials. Neither its repr nor `url` and `identity` hold a secret.

    Attributes:
        url: for people: no user, no password, no trailing "/".
        identity: url, tenant, and a digest of what else names an account there. Each identity has a spool of its own:
            profiles for one are never sent to another.
    """

    url: str
    identity: str
    https: bool
    host: str
    port: int
    path: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    _secrets: tuple[str, ...] = field(repr=False)

    @classmethod
    def of(cls, settings: Settings) -> Endpoint:
        """The endpoint of settings. settings/model.py has checked them: nothing in them can break a request."""
        parts = urlsplit(settings.server_url)
        https = parts.scheme == "https"
        host = ascii_host(parts.hostname or "")
        name = f"[{host}]" if ":" in host else host
        place = name if parts.port is None else f"{name}:{parts.port}"
        base = parts.path.rstrip("/")
        headers = [
            ("Host", place),
            ("Content-Type", "application/proto"),
            ("Content-Encoding", "gzip"),
            ("Accept-Encoding", "identity"),
            ("User-Agent", SPY_NAME),
            ("Connection", "close"),
        ]
        if settings.tenant_id:
            headers.append(("X-Scope-OrgID", settings.tenant_id))
        own = [*_authorization(settings, parts.username, parts.password)]
        own += [(key, value.get_secret_value()) for key, value in settings.http_headers.items()]
        url = f"{parts.scheme}://{place}{base}"
        return cls(
            url=url,
            identity=f"{url} {settings.tenant_id or ''}{_account(settings, parts.username)}",
            https=https,
            host=host,
            port=parts.port or (443 if https else 80),
            path=base + PUSH_PATH,
            headers=(*headers, *own),
            _secrets=_secrets(settings, own, parts.password),
        )

    def hidden(self, text: str) -> str:
        """A text from the other end with our secrets masked: some servers repeat the request in an answer."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text


def _secrets(
    settings: Settings, headers: list[tuple[str, str]], password: str | None
) -> tuple[str, ...]:
    """Texts to mask, the longest first, since one may contain another. Of a header: the value, and its last word."""
    found = [unquote(password or "")]
    if settings.basic_auth_password is not None:
        found.append(settings.basic_auth_password.get_secret_value())
    for _, value in headers:
        found += [value, value.rpartition(" ")[2]]
    wanted = {text for text in found if len(text) >= _SECRET_CHARS}
    return tuple(sorted(wanted, key=len, reverse=True))


def _account(settings: Settings, user: str | None) -> str:
    """A digest of user, token and headers, with a space before it; "" without any. Not of a password: it may change."""
    user = settings.basic_auth_user or unquote(user or "")
    token = settings.bearer_token.get_secret_value() if settings.bearer_token else ""
    headers = sorted(
        (key.lower(), value.get_secret_value()) for key, value in settings.http_headers.items()
    )
    if not (user or token or headers):
        return ""
    # Imported here: it loads OpenSSL, which plain HTTP does not need.
    import hashlib

    return " " + hashlib.sha256(repr((user, token, headers)).encode()).hexdigest()[:16]


def _authorization(
    settings: Settings, user: str | None, password: str | None
) -> list[tuple[str, str]]:
    """The header of the one way to authenticate that the settings allow. A user in the URL is percent-encoded."""
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
