"""libsparkmill.so by ctypes: the structs and functions of runtime/engine/engine.h, field by field.

tests/python/test_structs compiles a C program that compares sizes, offsets and numbers of fields.
"""
from __future__ import annotations

import ctypes
from ctypes import POINTER, c_bool, c_char, c_char_p, c_double, c_float, c_int, c_int32, c_size_t, c_uint32, c_uint64, c_void_p

from .errors import EngineError, Error

OK, AGAIN, DONE = 0, 1, 2


class MillError(ctypes.Structure):
    _c_name = "mill_error"
    _fields_ = [("text", c_char * 512)]


class Options(ctypes.Structure):
    _c_name = "mill_engine_options"
    _fields_ = [("model", c_char_p), ("devices", c_char_p), ("precision", c_char_p), ("cache", c_char_p),
                ("full_head", c_bool), ("max_running", c_int32), ("max_tokens", c_int32), ("cache_tokens", c_int32),
                ("max_window", c_int32), ("max_queue", c_int32), ("max_backlog_s", c_double),
                ("max_unread_s", c_double), ("stuck_s", c_double)]


class Info(ctypes.Structure):
    _c_name = "mill_engine_info"
    _fields_ = [("sample_rate", c_int32), ("samples_per_frame", c_int32), ("n_voice_tokens", c_int32),
                ("n_voice_codes", c_int32), ("n_semantic_codes", c_int32), ("max_tokens", c_int32),
                ("synthetic", c_bool), ("precision", c_char_p), ("no_gpu", c_char_p)]


class Request(ctypes.Structure):
    _c_name = "mill_engine_request"
    _fields_ = [("text", c_char_p), ("text_bytes", c_size_t), ("global", POINTER(c_int32)), ("n_global", c_int32),
                ("transcript", c_char_p), ("transcript_bytes", c_size_t), ("semantic", POINTER(c_int32)),
                ("n_semantic", c_int32), ("gender", c_int32), ("pitch", c_int32), ("speed", c_int32),
                ("pitch_value", c_int32), ("speed_value", c_int32), ("temperature", c_float), ("top_p", c_float),
                ("top_k", c_int32), ("seed", c_uint64), ("max_frames", c_int32), ("max_redraws", c_int32),
                ("unrestricted", c_bool), ("stream", c_bool), ("lookahead", c_int32), ("later", c_bool), ("in_place", c_bool),
                ("priority", c_int32), ("fair_key", c_uint64), ("deadline_s", c_double), ("deliver", c_void_p),
                ("readable", c_void_p), ("ended", c_void_p), ("context", c_void_p)]


class Result(ctypes.Structure):
    _c_name = "mill_request_result"
    _fields_ = [("end", c_int), ("status", c_int), ("error", MillError), ("n_prompt", c_int32), ("n_draws", c_int32),
                ("n_frames", c_int32), ("n_samples", c_uint64), ("seed", c_uint64), ("n_redraws", c_int32),
                ("findings", c_uint32), ("n_retries", c_int32), ("n_preemptions", c_int32), ("exact", c_bool),
                ("queued_s", c_double), ("first_audio_s", c_double), ("prefill_s", c_double), ("decode_s", c_double),
                ("vocoder_s", c_double), ("total_s", c_double)]


ENDS = ("running", "complete", "limit", "cancelled", "deadline", "failed")  # enum mill_request_end
STRUCTS = [MillError, Options, Info, Request, Result]

# Name: result, arguments. The last argument of calls that can be told about is the error.
_ERROR = POINTER(MillError)
_FUNCTIONS = {
    "mill_engine_open": (c_int, [POINTER(c_void_p), POINTER(Options), _ERROR]),
    "mill_engine_start": (c_int, [c_void_p, c_void_p, _ERROR]),
    "mill_engine_close": (None, [c_void_p]),
    "mill_engine_get_info": (POINTER(Info), [c_void_p]),
    "mill_engine_request_init": (None, [POINTER(Request)]),
    "mill_engine_submit": (c_int, [c_void_p, POINTER(Request), POINTER(c_void_p), POINTER(c_double), _ERROR]),
    "mill_request_read": (c_int, [c_void_p, POINTER(c_float), c_size_t, c_double, POINTER(c_size_t), _ERROR]),
    "mill_request_get_result": (None, [c_void_p, POINTER(Result)]),
    "mill_request_get_voice": (c_int, [c_void_p, POINTER(c_int32)]),
    "mill_request_free": (None, [c_void_p]),
    "mill_status_text": (c_char_p, [c_int]),
}


class Library:
    """The functions; a failure becomes an EngineError."""

    def __init__(self, path: str | None) -> None:
        try:
            self._so = ctypes.CDLL(path or "libsparkmill.so.0")
        except OSError as error:
            raise Error(f"{error}: install it (cmake --install build/release), or give its path as `library`") from None
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(self._so, name)
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)

    def call(self, name: str, *arguments: object) -> int:
        """For functions that take an error last: its status, if that is not a failure."""
        error = MillError()
        status = getattr(self, name)(*arguments, ctypes.byref(error))
        if status < 0:
            message = error.text or self.mill_status_text(status)
            raise EngineError(message.decode(errors="replace"), status)
        return status
