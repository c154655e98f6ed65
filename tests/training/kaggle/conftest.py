"""Kaggle's own client, a server that stands for Kaggle, and runs in a real database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from model_pipeline.store.connect import open_pool
from model_pipeline.store.runs import PgRuns
from tests.servers import kaggle_server
from tests.servers.kaggle_account import KEY, OWNER, State
from tests.training.kaggle.parts import QUICK, Seen
from training.kaggle.client import Kaggle


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[State]:
    with kaggle_server.running(tmp_path / "kaggle") as state:
        for name, value in kaggle_server.variables(state).items():
            monkeypatch.setenv(name, value)
        yield state


@pytest.fixture
def kaggle(account: State) -> Kaggle:
    return Kaggle(username=OWNER, key=KEY, patience=QUICK)


@pytest.fixture
def runs(database: str) -> Iterator[PgRuns]:
    with open_pool(database, min_size=1, max_size=4) as pool:
        yield PgRuns(pool)


@pytest.fixture
def seen() -> Seen:
    return Seen()
