"""Voice files, read and checked: docs/voice-format.md says what is in them."""
from __future__ import annotations

import hashlib
import json
import os
from typing import Any, NamedTuple

from .errors import Error

VOICE_BYTES = 1 << 20
REVOKED_BYTES = 8 << 20
SAMPLING = {"temperature": (int, float), "top_k": (int,), "top_p": (int, float), "seed": (int,)}
# What json.loads, and looking at what it gave, may raise: the file is not what it should be.
_WRONG = (ValueError, KeyError, TypeError, RecursionError)


class Voice(NamedTuple):
    tokens: list[int]
    semantic: list[int]  # with a transcript: the voice continues its recording
    transcript: str
    sampling: dict[str, Any]


def _load(path: str, form: str, most: int) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            data = file.read(most + 1)
    except OSError as cause:
        raise Error(f"{path}: {cause.strerror}") from None
    try:
        root = json.loads(data)
        if len(data) > most or root["format"] != form or root["version"] != 1:
            raise ValueError
    except _WRONG:
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


def _check(root: dict[str, Any]) -> Voice:
    """What an engine is given is of the right kind, and nothing else: a checksum is no signature."""
    voice = Voice(root["global_tokens"], root.get("semantic_tokens", []), root.get("transcript", ""),
                  root.get("sampling", {}))
    for tokens in (voice.tokens, voice.semantic):
        if type(tokens) is not list or not all(type(token) is int and 0 <= token < 1 << 31 for token in tokens):
            raise TypeError
    if type(root["model"]) is not str or type(voice.transcript) is not str or type(voice.sampling) is not dict:
        raise TypeError
    if not all(type(value) in SAMPLING[name] for name, value in voice.sampling.items()):
        raise TypeError
    return voice


def _is_revoked(root: dict[str, Any], revoked: str) -> bool:
    """By itself, or by that list; one that cannot be read refuses every voice."""
    if "revoked" in root or not os.path.lexists(revoked):
        return "revoked" in root
    try:
        return _voice_id(root) in [entry["id"] for entry in _load(revoked, "sparkmill-revoked", REVOKED_BYTES)["voices"]]
    except _WRONG:
        raise Error(f"{revoked}: it is no list of revoked voices: mend it, or take it away") from None


def read_voice(path: str | os.PathLike[str]) -> Voice:
    """Refuses what is damaged or revoked, in the file itself or by the registry that it lies in."""
    path = os.fspath(path)
    root = _load(path, "sparkmill-voice", VOICE_BYTES)
    bare = {key: value for key, value in root.items() if key != "checksum"}
    try:
        if hashlib.sha256(_canonical(bare).encode()).hexdigest() != root.get("checksum"):
            raise Error(f"{path}: the checksum does not fit: it was damaged or edited")
        voice = _check(root)
    except _WRONG:
        raise Error(f"{path}: not a voice: a part of it is missing, or not of the kind that it should be") from None
    if _is_revoked(root, os.path.join(os.path.dirname(path), "revoked.json")):
        raise Error(f"{path}: the voice is revoked and may not be used")
    return voice
