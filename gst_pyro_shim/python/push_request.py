# SPDX-License-Identifier: MIT
"""The body of a push, read: from HTTP's headers and bytes to the profiles in it. Refusals are as Pyroscope's.

Context: agent, outside the host (the collector's threads). Pure.
"""

from __future__ import annotations

import base64
import json
import zlib
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message import DecodeError

from gst_pyro_shim.pprof.schema import PushRequest

if TYPE_CHECKING:
    from email.message import Message

MAX_BODY_BYTES: Final = 16 * 1024 * 1024
"""Of a request, as sent and as inflated. The agent splits its own at 1.5 MiB."""


class RefusedError(Exception):
    """A request that is answered by an error.

    Attributes:
        status: of HTTP.
        code: Connect's word for it.
    """

    def __init__(self, status: HTTPStatus, code: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.code = code


def invalid(text: str) -> RefusedError:
    """The refusal of what is no push."""
    return RefusedError(HTTPStatus.BAD_REQUEST, "invalid_argument", text)


def is_json(headers: Message) -> bool:
    """Whether the body is JSON, and not protobuf.

    Raises:
        RefusedError: it is neither.
    """
    kind = headers.get_content_type()
    if kind not in {"application/proto", "application/json"}:
        text = f"content type {kind} is not understood"
        raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unknown", text)
    return kind == "application/json"


def length(headers: Message) -> int:
    """Bytes of the body, as sent.

    Raises:
        RefusedError: no length is given, or too large a one.
    """
    try:
        given = int(headers.get("Content-Length", ""))
    except ValueError:
        raise invalid("a push without Content-Length was refused") from None
    if not 0 <= given <= MAX_BODY_BYTES:
        text = f"a push of {given} bytes was refused"
        raise RefusedError(HTTPStatus.TOO_MANY_REQUESTS, "resource_exhausted", text)
    return given


def profiles(headers: Message, body: bytes) -> list[tuple[str, bytes]]:
    """The profiles in a body, each with its series' name.

    Raises:
        RefusedError: the body cannot be read, or holds no profile.
    """
    plain = _inflated(headers.get("Content-Encoding", "identity").strip().lower(), body)
    try:
        request = _from_json(plain) if is_json(headers) else PushRequest.FromString(plain)
    except (DecodeError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise invalid(f"a push could not be parsed ({error})") from error
    if not any(series.samples for series in request.series):
        raise invalid("no profiles received")
    found = []
    for series in request.series:
        labels = {label.name: label.value for label in series.labels}
        name = labels.get("__name__", "")
        found += [(name, sample.raw_profile) for sample in series.samples]
    return found


def _inflated(coding: str, body: bytes) -> bytes:
    if coding == "identity":
        return body
    if coding != "gzip":
        text = f'unknown compression "{coding}"'
        raise RefusedError(HTTPStatus.NOT_IMPLEMENTED, "unimplemented", text)
    inflater = zlib.decompressobj(wbits=31)
    try:
        plain = inflater.decompress(body, MAX_BODY_BYTES)
    except zlib.error as error:
        raise invalid(f"a push's gzip data was damaged ({error})") from error
    if not inflater.eof:
        raise invalid("a push's gzip data was cut off or too large")
    return plain


def _from_json(body: bytes) -> Any:
    """A PushRequest from its JSON form; unknown keys are left out, as the server does."""
    request = PushRequest()
    for given in json.loads(body).get("series", ()):
        series = request.series.add()
        for label in given.get("labels", ()):
            series.labels.add(name=label.get("name", ""), value=label.get("value", ""))
        for sample in given.get("samples", ()):
            series.samples.add(raw_profile=base64.b64decode(sample.get("rawProfile", "")))
    return request
