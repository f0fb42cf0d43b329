"""Speech made in this process, by libsparkmill.so.

An Engine holds a model on its devices and may be shared by threads: what they ask for at the same time
shares steps. A Stream is one request, read by one thread. One utterance at a time: long texts are cut
by the program and the server, not here.
"""
from __future__ import annotations

import ctypes
import os
import weakref
from typing import TYPE_CHECKING, Any, Iterator, Sequence, Union

from . import library as lib
from .errors import EngineError, Error
from .voice_file import Voice, read_voice

if TYPE_CHECKING:
    import numpy

GENDERS = ("female", "male")
LEVELS = ("very_low", "low", "moderate", "high", "very_high")
MAX_SEED = 1 << 53
PIECE_SAMPLES = 1 << 14
LOOK_S = 0.2  # Python sees its signals at least so often
VoiceLike = Union[str, "os.PathLike[str]", Sequence[int], None]


def _numpy() -> Any:
    try:
        import numpy
    except ImportError:
        raise Error("numpy is missing: pip install 'sparkmill[local]'") from None
    return numpy


def _cache_folder() -> str:
    """Where the program keeps converted weights, so both use the same."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return os.path.join(base if os.path.isabs(base) else os.path.expanduser("~/.cache"), "sparkmill")


def load(model_dir: str | os.PathLike[str], devices: str | None = None, precision: str | None = None, *,
         cache: str | os.PathLike[str] | None = None, library: str | None = None) -> Engine:
    """The model of a folder. `devices`: "auto", "cpu", "cpu:4", "cuda:1", "0,1,cpu"; `precision`: "fp32",
    "bf16", "int8"; `cache`: the folder for converted weights; `library`: the path of libsparkmill.so
    where it is not installed. The first time weights are converted, which takes minutes."""
    _numpy()
    return Engine(lib.Library(library), os.fspath(model_dir), devices, precision, os.fspath(cache or _cache_folder()))


class Engine:
    """See load; closed by close, at the end of `with`, or when it is forgotten."""

    def __init__(self, library: lib.Library, model: str, devices: str | None, precision: str | None,
                 cache: str) -> None:
        self._lib = library
        options = lib.Options(model=os.fsencode(model), devices=devices and devices.encode(),
                              precision=precision and precision.encode(), cache=os.fsencode(cache))
        handle = ctypes.c_void_p()
        library.call("mill_engine_open", ctypes.byref(handle), ctypes.byref(options))
        self._handle = handle
        self._close = weakref.finalize(self, library.mill_engine_close, handle)
        try:
            library.call("mill_engine_start", handle, None)
        except EngineError:
            self.close()
            raise
        info = library.mill_engine_get_info(handle).contents
        self.sample_rate: int = info.sample_rate
        self.precision: str = info.precision.decode()
        self.synthetic: bool = info.synthetic  # random weights: noise, not speech
        self._frame = info.samples_per_frame
        self._n_voice_tokens = info.n_voice_tokens

    def speak(self, text: str, **wish: Any) -> tuple[numpy.ndarray, int]:
        """All samples (float32, mono) and how many of them are a second; arguments as of `stream`."""
        with self._submit(text, False, **wish) as pieces:
            return _numpy().concatenate(list(pieces) or [_numpy().zeros(0, "float32")]), self.sample_rate

    def stream(self, text: str, **wish: Any) -> Stream:
        """Samples in pieces, while they are made, the same as speak's. `voice`: a voice file, or global
        tokens (of Stream.voice); without one a voice is created from `gender`, `pitch` and `rate`,
        words as in docs/server.md. Also `seed`, `temperature`, `top_k`, `top_p`, `max_seconds`, and
        `redraws`: judge the utterance, and draw it again up to so many times, before it comes."""
        return self._submit(text, True, **wish)

    def _submit(self, text: str, stream: bool, *, voice: VoiceLike = None, gender: str = "female",
                pitch: str = "moderate", rate: str = "moderate", seed: int | None = None,
                temperature: float | None = None, top_k: int | None = None, top_p: float | None = None,
                max_seconds: float = 60, redraws: int = 0) -> Stream:
        if not self._close.alive:
            raise Error("the engine is closed")
        request = lib.Request()
        self._lib.mill_engine_request_init(ctypes.byref(request))
        if seed is not None and not 0 <= seed <= MAX_SEED:
            raise Error(f"seed: {seed} is not in 0 .. {MAX_SEED}")
        data = text.encode()
        request.text, request.text_bytes = data, len(data)
        sampling = self._use_voice(request, voice)
        request.gender, request.pitch, request.speed = (
            _index(GENDERS, "gender", gender), _index(LEVELS, "pitch", pitch), _index(LEVELS, "rate", rate))
        given = {"seed": seed, "temperature": temperature, "top_k": top_k, "top_p": top_p}
        for name, value in given.items():
            if value is not None or name in sampling:
                setattr(request, name, sampling[name] if value is None else value)
        request.max_frames = max(1, round(max_seconds * self.sample_rate / self._frame))
        request.max_redraws = redraws
        request.stream = stream and redraws == 0
        handle = ctypes.c_void_p()
        retry_after_s = ctypes.c_double()
        if self._lib.call("mill_engine_submit", self._handle, ctypes.byref(request), ctypes.byref(handle),
                          ctypes.byref(retry_after_s)) == lib.AGAIN:
            raise EngineError(f"too much waits: try again in {retry_after_s.value:.1f} s", lib.AGAIN)
        return Stream(self, handle)

    def _use_voice(self, request: lib.Request, voice: VoiceLike) -> dict[str, Any]:
        if voice is None:
            return {}
        if isinstance(voice, (str, os.PathLike)):
            voice = read_voice(voice)
        else:
            voice = Voice([int(token) for token in voice], [], "", {})
        setattr(request, "global", (ctypes.c_int32 * len(voice.tokens))(*voice.tokens))
        request.n_global = len(voice.tokens)
        if voice.semantic:
            transcript = voice.transcript.encode()
            request.transcript, request.transcript_bytes = transcript, len(transcript)
            request.semantic = (ctypes.c_int32 * len(voice.semantic))(*voice.semantic)
            request.n_semantic = len(voice.semantic)
        return voice.sampling

    def close(self) -> None:
        """Ends what runs. Harmless when it is closed."""
        self._close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Stream:
    """An iterator over float32 arrays; forgetting or closing it ends the request."""

    def __init__(self, engine: Engine, handle: ctypes.c_void_p) -> None:
        self._engine = engine  # the library stays; the request outlives even a closed engine
        self._lib = engine._lib
        self._handle = handle
        self._close = weakref.finalize(self, self._lib.mill_request_free, handle)
        self.sample_rate = engine.sample_rate

    def __iter__(self) -> Iterator[numpy.ndarray]:
        return self

    def __next__(self) -> numpy.ndarray:
        numpy = _numpy()
        samples = numpy.empty(PIECE_SAMPLES, "float32")
        n = ctypes.c_size_t()
        status = lib.AGAIN if self._close.alive else lib.DONE
        while status == lib.AGAIN:
            status = self._lib.call("mill_request_read", self._handle,
                                    samples.ctypes.data_as(ctypes.POINTER(ctypes.c_float)), PIECE_SAMPLES, LOOK_S,
                                    ctypes.byref(n))
        if status == lib.DONE:
            raise StopIteration
        return samples[:n.value]

    @property
    def voice(self) -> list[int] | None:
        """The global tokens that speak, given or created; None before the first sound and after close."""
        tokens = (ctypes.c_int32 * self._engine._n_voice_tokens)()
        if not self._close.alive or self._lib.mill_request_get_voice(self._handle, tokens) != lib.OK:
            return None
        return list(tokens)

    @property
    def end(self) -> str:
        """"running", "complete", "limit" (of max_seconds: the text goes on), "cancelled" or "failed"."""
        if not self._close.alive:
            return "cancelled"
        result = lib.Result()
        self._lib.mill_request_get_result(self._handle, ctypes.byref(result))
        return lib.ENDS[result.end]

    def close(self) -> None:
        self._close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _index(words: tuple[str, ...], name: str, word: str) -> int:
    if word not in words:
        raise Error(f"{name}: {word!r} is none of {', '.join(words)}")
    return words.index(word)
