"""What goes wrong, as exceptions; all of them are an Error."""
from __future__ import annotations

import json


class Error(Exception):
    """Of Sparkmill; its text is one line for people."""


class EngineError(Error):
    """The library refused or failed; `status` is its mill_status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class ConnectionFailed(Error):
    """The server cannot be reached, or broke off."""


class ServerError(Error):
    """The server answered with an error: OpenAI's envelope and the HTTP status."""

    def __init__(self, status: int, message: str, type: str | None = None, param: str | None = None,
                 code: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.type = type
        self.param = param  # the field that it is about
        self.code = code
        self.retry_after_s = retry_after_s


class InvalidRequest(ServerError):
    """Something in the request is wrong; asking again does not help."""


class NotAllowed(ServerError):
    """No key, a wrong one, or one that may not do this."""


class NotFound(ServerError):
    """There is no such voice, model or route."""


class Busy(ServerError):
    """Too much at the moment, or not ready; ask again after `retry_after_s` seconds."""


def _kind(status: int) -> type[ServerError]:
    if status in (401, 403):
        return NotAllowed
    if status == 404:
        return NotFound
    if status in (429, 503):
        return Busy
    return InvalidRequest if 400 <= status < 500 else ServerError


def from_answer(status: int, retry_after: str | None, body: bytes) -> ServerError:
    """The exception for an answer; what is not an envelope (a proxy's page) becomes its status."""
    try:
        error = json.loads(body)["error"]
        fields = {name: error.get(name) for name in ("message", "type", "param", "code")}
    except (ValueError, KeyError, TypeError, AttributeError):
        fields = {"message": None}
    fields["message"] = fields["message"] or f"HTTP status {status}"
    try:
        retry_after_s = float(retry_after) if retry_after else None
    except ValueError:  # a date
        retry_after_s = None
    return _kind(status)(status, retry_after_s=retry_after_s, **fields)
