"""The command that serves the UI. Whoever starts it needs no Streamlit configuration of its own."""

from __future__ import annotations

import sys
from pathlib import Path

from rag_service.ui.theme import DARK, LIGHT

APP = Path(__file__).with_name("app.py")
# In units of 2**20 bytes: just under the 50,000,000 that the service takes at once.
MAX_UPLOAD_MB = 47


def command(
    api_url: str,
    port: int,
    *,
    host: str = "127.0.0.1",
    sign_in: tuple[str, str] | None = None,
) -> list[str]:
    """The argument vector that serves the UI on `port`, asking the service at `api_url`. `sign_in`
    is a Supabase project's address and its publishable key, which is no secret.

    Everything is set by flags: Streamlit would else read the working directory's configuration.
    """
    options: dict[str, str] = {
        "server.address": host,
        "server.port": str(port),
        "server.headless": "true",
        "server.showEmailPrompt": "false",
        "server.fileWatcherType": "none",
        "server.maxUploadSize": str(MAX_UPLOAD_MB),
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "client.showErrorLinks": "false",
        "client.showSidebarNavigation": "false",
        "runner.magicEnabled": "false",
        "logger.level": "warning",
    }
    options |= {f"theme.light.{name}": value for name, value in LIGHT.items()}
    options |= {f"theme.dark.{name}": value for name, value in DARK.items()}
    flags = [f"--{name}={value}" for name, value in options.items()]
    run = [sys.executable, "-m", "streamlit", "run", str(APP)]
    return [*run, *flags, "--", api_url, *(sign_in or ())]
