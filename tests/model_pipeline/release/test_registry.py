"""The alias of what is in production; what a real server makes of it is in test_tracking.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_pipeline.errors import Unavailable
from model_pipeline.release.registry import NoRegistry, open_registry
from tests.model_pipeline.evaluation.test_tracking import version
from tests.servers.hub_server import running


def test_a_server_that_is_no_mlflow_s(tmp_path: Path) -> None:
    with running(tmp_path) as elsewhere:
        registry = open_registry(elsewhere.url)
        with pytest.raises(Unavailable, match="did not take the alias"):
            registry.point(version(1), "production")


def test_no_server_no_alias() -> None:
    registry = open_registry(None)
    assert isinstance(registry, NoRegistry)
    registry.point(version(1), "production")
