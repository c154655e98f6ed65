"""A Hub of one's own, and what signs in to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.servers.hub_server import TOKEN, running
from tests.servers.hub_server import Hub as HubServer
from training.hub.client import Hub, open_hub

SignIn = Callable[..., Hub]


@pytest.fixture
def hub_server(tmp_path: Path) -> Iterator[HubServer]:
    with running(tmp_path / "hub") as started:
        yield started


@pytest.fixture
def hub(hub_server: HubServer) -> Hub:
    return open_hub(hub_server.url, token=TOKEN)
