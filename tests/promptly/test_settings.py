"""Settings of `.env` that a library reads in the environment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from model_pipeline.errors import ConfigurationError
from promptly.settings import read_settings

NAMES = ("HF_TOKEN", "HF_ENDPOINT", "HF_OIDC_RESOURCE")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in NAMES:
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    return tmp_path


def test_the_hubs_client_is_told_what_stands_in_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / ".env").write_text("HF_TOKEN=hf_of_the_file\nHF_ENDPOINT=http://127.0.0.1:9\n")
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_shell")
    read_settings()
    assert os.environ["HF_TOKEN"] == "hf_of_the_shell"
    assert os.environ["HF_ENDPOINT"] == "http://127.0.0.1:9"
    assert "HF_OIDC_RESOURCE" not in os.environ


def test_nothing_is_told_where_nothing_is_set(folder: Path) -> None:
    read_settings()
    assert not set(NAMES) & set(os.environ)


def test_a_wrong_value_is_named_by_its_variable(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMPTLY_API_PORT", "99999")
    with pytest.raises(ConfigurationError, match="PROMPTLY_API_PORT is '99999'"):
        read_settings()
