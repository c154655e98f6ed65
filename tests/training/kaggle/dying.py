"""Submits and collects in processes of their own, which can be killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from model_pipeline.store.connect import open_pool
from model_pipeline.store.runs import PgRuns, Run
from tests.servers.kaggle_account import KEY, OWNER
from tests.training.kaggle.parts import QUICK, submission
from training.kaggle.client import Kaggle
from training.kaggle.collect import Collecting, collect
from training.kaggle.submit import submit


def submitting(conninfo: str, environment: Mapping[str, str], folder: Path, key: str) -> None:
    os.environ.update(environment)
    with open_pool(conninfo, min_size=1, max_size=3) as pool:
        submit(PgRuns(pool), _kaggle(), submission(folder, key=key))
    os._exit(0)


def collecting(
    conninfo: str, environment: Mapping[str, str], folder: Path, run: Run, dies_in: str | None
) -> None:
    """Dies in what it hands in by that name."""

    def die(*_: Any) -> NoReturn:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    os.environ.update(environment)
    given: Any = {dies_in: die} if dies_in else {}
    with open_pool(conninfo, min_size=1, max_size=3) as pool:
        collect(PgRuns(pool), _kaggle(), Collecting(folder, **given), only=run)
    os._exit(0)


def _kaggle() -> Kaggle:
    return Kaggle(username=OWNER, key=KEY, patience=QUICK)
