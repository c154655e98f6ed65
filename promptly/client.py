"""The typed clients of the HTTP API: `from promptly.client import Client, AsyncClient`."""

from rag_service.client import *  # noqa: F403
from rag_service.client import __all__ as __all__
