"""`promptly api`: the HTTP API alone, as a server runs it."""

from __future__ import annotations

from typing import Annotated

import typer

from promptly.settings import read_settings


def api(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port to listen on.")] = None,
) -> None:
    """Start the HTTP API without the UI."""
    from promptly.server import serve  # FastAPI is not needed by the other commands

    settings = read_settings()
    serve(settings, host=host or settings.api_host, port=port or settings.api_port)
