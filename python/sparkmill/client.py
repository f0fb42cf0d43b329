"""A client of `sparkmill serve`, by Python's own library alone.

Each call has a connection of its own, so a client may be shared by threads. The async one runs these
calls in threads of asyncio.
"""
from __future__ import annotations

import asyncio
import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any, AsyncIterator, Iterator, TypedDict

from .errors import ConnectionFailed, from_answer
from .jobs import ENDPOINT, AsyncBatches, AsyncFiles, Batches, Files, in_threads

if TYPE_CHECKING:
    from typing_extensions import Unpack

PIECE_BYTES = 1 << 16


class Wish(TypedDict, total=False):
    """How a text is to be spoken; what is left out is the server's choice. See docs/server.md."""

    model: str
    voice: str
    response_format: str  # mp3 opus aac flac wav pcm
    instructions: str
    speed: float
    # Of Sparkmill:
    seed: int
    temperature: float
    top_k: int
    top_p: float
    gender: str
    pitch: str
    rate: str
    redraws: int
    ssml: bool
    dictionary: str
    language: str
    clause_ms: int
    sentence_ms: int
    paragraph_ms: int
    priority: int
    deadline_ms: int
    sample_rate: int


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """The key is for the server that was named: urllib would hand it to any other that one names."""

    def redirect_request(self, *_: Any) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirects)

OPENAI = {"model", "voice", "response_format", "instructions", "speed"}


def _body(text: str, wish: dict[str, Any]) -> dict[str, Any]:
    body = {"model": "tts-1", "voice": "alloy", "input": text}
    body.update((name, value) for name, value in wish.items() if name in OPENAI)
    ours = {name: value for name, value in wish.items() if name not in OPENAI}
    return dict(body, sparkmill=ours) if ours else body


def request(custom_id: str, text: str, **wish: Unpack[Wish]) -> dict[str, Any]:
    """One request of a batch: a text under a name of yours."""
    return {"custom_id": custom_id, "method": "POST", "url": ENDPOINT, "body": _body(text, dict(wish))}


class Client:
    """`base_url` with or without /v1; `timeout_s` is the longest silence of the server."""

    def __init__(self, base_url: str = "http://127.0.0.1:8000", api_key: str | None = None,
                 timeout_s: float = 600) -> None:
        self._base = base_url.rstrip("/").removesuffix("/v1")
        self._headers = {"Content-Type": "application/json"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._timeout_s = timeout_s
        self.files = Files(self)
        self.batches = Batches(self)

    def speech(self, text: str, **wish: Unpack[Wish]) -> bytes:
        """The whole sound, in `response_format` (mp3)."""
        return b"".join(self.stream(text, **wish))

    def stream(self, text: str, **wish: Unpack[Wish]) -> Iterator[bytes]:
        """The sound in pieces, while it is made. Refusals come from this call; closing the iterator
        ends the request."""
        return self._pieces(self._open("/v1/audio/speech", _body(text, dict(wish))))

    def voices(self) -> list[dict[str, Any]]:
        """What `voice` may be: for each its `name`, `id`, and more."""
        return self._json("/v1/audio/voices")["data"]

    def models(self) -> list[str]:
        """What `model` may be."""
        return [model["id"] for model in self._json("/v1/models")["data"]]

    def _json(self, path: str, body: Any = None, method: str | None = None,
              headers: dict[str, str] | None = None) -> Any:
        answer = b"".join(self._pieces(self._open(path, body, method, headers)))
        try:
            return json.loads(answer)
        except (ValueError, RecursionError):
            raise ConnectionFailed(f"{self._base}: what answers is no Sparkmill server: it sent no JSON") from None

    def _all(self, path: str, **query: str) -> Iterator[dict[str, Any]]:
        """A list, page by page."""
        query = {name: value for name, value in query.items() if value}
        while True:
            page = self._json(f"{path}?{urllib.parse.urlencode(query)}")
            yield from page["data"]
            if not page["has_more"]:
                return
            query["after"] = page["last_id"]

    def _open(self, path: str, body: Any = None, method: str | None = None,
              headers: dict[str, str] | None = None) -> http.client.HTTPResponse:
        """`body` is sent as JSON, bytes as they are."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        asked = urllib.request.Request(self._base + path, data, {**self._headers, **(headers or {})}, method=method)
        try:
            return _opener.open(asked, timeout=self._timeout_s)
        except urllib.error.HTTPError as error:
            with error:
                try:
                    answer = error.read()
                except (OSError, http.client.HTTPException):
                    answer = b""  # it broke off, and its status is known
            raise from_answer(error.code, error.headers.get("Retry-After"), answer) from None
        except (OSError, http.client.HTTPException) as error:
            raise ConnectionFailed(f"{self._base}: {getattr(error, 'reason', error)}") from error

    def _pieces(self, response: http.client.HTTPResponse) -> Iterator[bytes]:
        missing = response.length  # None in chunks, of which a missing one is an error already
        with response:
            try:
                while piece := response.read1(PIECE_BYTES):
                    missing = missing and missing - len(piece)
                    yield piece
            except (OSError, http.client.HTTPException) as error:
                raise ConnectionFailed(f"{self._base}: the answer broke off: {error}") from error
        if missing:
            raise ConnectionFailed(f"{self._base}: the answer broke off: {missing} bytes are missing")


class AsyncClient:
    """The same for asyncio."""

    def __init__(self, base_url: str = "http://127.0.0.1:8000", api_key: str | None = None,
                 timeout_s: float = 600) -> None:
        self._client = Client(base_url, api_key, timeout_s)
        self.files = AsyncFiles(self._client)
        self.batches = AsyncBatches(self._client)

    async def speech(self, text: str, **wish: Unpack[Wish]) -> bytes:
        return await asyncio.to_thread(self._client.speech, text, **wish)

    async def stream(self, text: str, **wish: Unpack[Wish]) -> AsyncIterator[bytes]:
        async for piece in in_threads(await asyncio.to_thread(self._client.stream, text, **wish)):
            yield piece

    async def voices(self) -> list[dict[str, Any]]:
        return await asyncio.to_thread(self._client.voices)

    async def models(self) -> list[str]:
        return await asyncio.to_thread(self._client.models)
