"""Files and batches of a server: many requests at once, overnight. See docs/server.md."""
from __future__ import annotations

import asyncio
import json
import os
import time
import urllib.parse
import uuid
from typing import TYPE_CHECKING, Any, AsyncIterator, Iterable, Iterator

if TYPE_CHECKING:
    from .client import Client

OVER = {"completed", "failed", "expired", "cancelled"}
ENDPOINT = "/v1/audio/speech"


def _form(name: str, data: bytes, boundary: str) -> bytes:
    head = (f'--{boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--{boundary}\r\n'
            f'Content-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n')
    return head.encode() + data + f"\r\n--{boundary}--\r\n".encode()


def _at(*parts: str) -> str:
    return "/v1/" + "/".join(urllib.parse.quote(part, safe="") for part in parts)


class Files:
    """What batches read and write; `client.files`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def create(self, file: bytes | str | os.PathLike[str], name: str = "batch.jsonl") -> dict[str, Any]:
        """Upload a path's content, or bytes; the file, with its `id`."""
        if not isinstance(file, bytes):
            name = os.path.basename(os.fspath(file))
            with open(file, "rb") as stream:
                file = stream.read()
        boundary = uuid.uuid4().hex
        name = "".join(c for c in name if c.isprintable() and c not in '"\\')
        return self._client._json("/v1/files", _form(name, file, boundary),
                                  headers={"Content-Type": f"multipart/form-data; boundary={boundary}"})

    def get(self, file: str) -> dict[str, Any]:
        return self._client._json(_at("files", file))

    def list(self, purpose: str = "") -> Iterator[dict[str, Any]]:
        """The newest first; without a purpose all but the sounds ("batch_audio")."""
        return self._client._all("/v1/files", purpose=purpose)

    def content(self, file: str) -> bytes:
        return b"".join(self.stream(file))

    def stream(self, file: str) -> Iterator[bytes]:
        return self._client._pieces(self._client._open(_at("files", file, "content")))

    def delete(self, file: str) -> None:
        """With a file of results, the sounds that it speaks of."""
        self._client._json(_at("files", file), method="DELETE")


class Batches:
    """`client.batches`: create, wait, then results; a batch is what the server says of it."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def create(self, requests: str | Iterable[dict[str, Any]], completion_window: str = "24h",
               metadata: dict[str, str] | None = None) -> dict[str, Any]:
        """Of an uploaded file's id, or of requests as `sparkmill.request` makes them."""
        if not isinstance(requests, str):
            lines = "".join(json.dumps(request) + "\n" for request in requests)
            requests = self._client.files.create(lines.encode())["id"]
        order = {"input_file_id": requests, "endpoint": ENDPOINT, "completion_window": completion_window}
        return self._client._json("/v1/batches", dict(order, metadata=metadata) if metadata else order)

    def get(self, batch: str) -> dict[str, Any]:
        return self._client._json(_at("batches", batch))

    def list(self) -> Iterator[dict[str, Any]]:
        """The newest first."""
        return self._client._all("/v1/batches")

    def cancel(self, batch: str) -> dict[str, Any]:
        return self._client._json(_at("batches", batch, "cancel"), method="POST")

    def wait(self, batch: str, timeout_s: float | None = None, poll_s: float = 2) -> dict[str, Any]:
        """The batch when it is over, or as it stands after timeout_s."""
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            now = self.get(batch)
            if now["status"] in OVER or end is not None and time.monotonic() + poll_s > end:
                return now
            time.sleep(poll_s)

    def results(self, batch: str) -> Iterator[dict[str, Any]]:
        """The answers that are there, in the order of the requests; then those that failed. The sound of one:
        client.files.content(result["response"]["body"]["file_id"])."""
        now = self.get(batch)
        for file in filter(None, (now["output_file_id"], now["error_file_id"])):
            rest = b""
            for piece in self._client.files.stream(file):
                *lines, rest = (rest + piece).split(b"\n")
                yield from map(json.loads, lines)


class AsyncFiles:
    def __init__(self, client: Client) -> None:
        self._files = client.files

    async def create(self, file: bytes | str | os.PathLike[str], name: str = "batch.jsonl") -> dict[str, Any]:
        return await asyncio.to_thread(self._files.create, file, name)

    async def get(self, file: str) -> dict[str, Any]:
        return await asyncio.to_thread(self._files.get, file)

    async def list(self, purpose: str = "") -> AsyncIterator[dict[str, Any]]:
        async for each in in_threads(self._files.list(purpose)):
            yield each

    async def content(self, file: str) -> bytes:
        return await asyncio.to_thread(self._files.content, file)

    async def delete(self, file: str) -> None:
        await asyncio.to_thread(self._files.delete, file)


class AsyncBatches:
    def __init__(self, client: Client) -> None:
        self._batches = client.batches

    async def create(self, requests: str | Iterable[dict[str, Any]], completion_window: str = "24h",
                     metadata: dict[str, str] | None = None) -> dict[str, Any]:
        return await asyncio.to_thread(self._batches.create, requests, completion_window, metadata)

    async def get(self, batch: str) -> dict[str, Any]:
        return await asyncio.to_thread(self._batches.get, batch)

    async def list(self) -> AsyncIterator[dict[str, Any]]:
        async for each in in_threads(self._batches.list()):
            yield each

    async def cancel(self, batch: str) -> dict[str, Any]:
        return await asyncio.to_thread(self._batches.cancel, batch)

    async def wait(self, batch: str, poll_s: float = 2) -> dict[str, Any]:
        while (now := await self.get(batch))["status"] not in OVER:
            await asyncio.sleep(poll_s)
        return now

    async def results(self, batch: str) -> AsyncIterator[dict[str, Any]]:
        async for each in in_threads(self._batches.results(batch)):
            yield each


async def in_threads(iterator: Iterator[Any]) -> AsyncIterator[Any]:
    """What an iterator gives, each taken in a thread."""
    while (each := await asyncio.to_thread(next, iterator, None)) is not None:
        yield each
