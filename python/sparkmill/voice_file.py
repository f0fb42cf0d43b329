"""Voice files, read and checked: docs/voice-format.md says what is in them."""
from __future__ import annotations

import hashlib
import json
import os
from typing import Any, NamedTuple

from .errors import Error

MAX_BYTES = 1 << 20


class Voice(NamedTuple):
    tokens: list[int]
    semantic: list[int]  # with a transcript: the voice continues its recording
    transcript: str
    sampling: dict[str, Any]


def _load(path: str, form: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as cause:
        raise Error(f"{path}: {cause.strerror}") from None
    try:
        root = json.loads(data[:MAX_BYTES + 1])
        if len(data) > MAX_BYTES or root["format"] != form or root["version"] != 1:
            raise ValueError
    except (ValueError, KeyError, TypeError):
        raise Error(f"{path}: not a file of format {form}, version 1") from None
    return root


def _canonical(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k)}:{_canonical(value[k])}" for k in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_canonical, value)) + "]"
    if isinstance(value, float):
        text = "%.9g" % value
        return text if "." in text else text + ".0"
    return json.dumps(value, ensure_ascii=False)


def _voice_id(root: dict[str, Any]) -> str:
    tokens = "".join(f"{token} " for token in root["global_tokens"])
    return hashlib.sha256(f"sparkmill-voice\n{root['model']}\n{tokens}".encode()).hexdigest()[:16]


def read_voice(path: str | os.PathLike[str]) -> Voice:
    """Refuses what is damaged or revoked, in the file itself or by the registry that it lies in."""
    path = os.fspath(path)
    root = _load(path, "sparkmill-voice")
    bare = {key: value for key, value in root.items() if key != "checksum"}
    if hashlib.sha256(_canonical(bare).encode()).hexdigest() != root.get("checksum"):
        raise Error(f"{path}: the checksum does not fit: it was damaged or edited")
    revoked = os.path.join(os.path.dirname(path), "revoked.json")
    if "revoked" in root or (os.path.exists(revoked) and any(
            entry["id"] == _voice_id(root) for entry in _load(revoked, "sparkmill-revoked")["voices"])):
        raise Error(f"{path}: the voice is revoked and may not be used")
    return Voice(root["global_tokens"], root.get("semantic_tokens", []), root.get("transcript", ""),
                 root.get("sampling", {}))
