from __future__ import annotations

from pathlib import Path

import pytest

from tests.language_models import make_base_model
from tests.training.learning import material


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of 64 dimensions that was taught nothing."""
    folder = tmp_path_factory.mktemp("finetune") / "base"
    return make_base_model(folder, reads=material.text())


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return material.write_data(tmp_path_factory.mktemp("finetune") / "data")
