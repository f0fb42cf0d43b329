"""Speech from a Sparkmill server (Client, AsyncClient), or made in this process (load)."""
from .client import AsyncClient, Client, request
from .engine import Engine, Stream, load
from .errors import Busy, ConnectionFailed, EngineError, Error, InvalidRequest, NotAllowed, NotFound, ServerError

__all__ = ["AsyncClient", "Busy", "Client", "ConnectionFailed", "Engine", "EngineError", "Error", "InvalidRequest",
           "NotAllowed", "NotFound", "ServerError", "Stream", "load", "request"]
