"""What the kill tests kill: a publishing in a process of its own."""

from __future__ import annotations

import os
from pathlib import Path

from tests.servers.hub_server import TOKEN
from training.hub.client import open_hub
from training.hub.publish import publish


def run(folder: str, repo: str, url: str) -> None:
    publish(Path(folder), repo, open_hub(url, token=TOKEN), kind="adapter")
    os._exit(0)
