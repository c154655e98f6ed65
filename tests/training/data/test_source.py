"""Training data where it is attached: however it is mounted, as it was made, and one alone."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from model_pipeline.errors import InvalidInput
from tests.training.data.making import World, material, passages
from training.data.make import Wanted, make
from training.data.source import attached, training_data


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    stored = list(passages(40))
    out = tmp_path_factory.mktemp("made") / "data"
    return make(material(stored), World(stored).tools, Wanted(), out).folder


@pytest.mark.parametrize("mount", ["slug", "datasets/owner/slug"])
def test_it_is_found_wherever_it_is_mounted(data: Path, tmp_path: Path, mount: str) -> None:
    assert attached(tmp_path) is None
    shutil.copytree(data, tmp_path / mount)
    (tmp_path / mount / "promptly.whl").write_bytes(b"rides along")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "manifest.json").write_text('{"format": 1, "files": {}}')
    (tmp_path / "model2").mkdir()
    (tmp_path / "model2" / "manifest.json").write_text("no JSON")
    assert training_data(tmp_path / "to", inputs=tmp_path) == tmp_path / mount
    assert attached(tmp_path, "0" * 64) is None


def test_what_was_changed_or_is_there_twice_is_refused(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "one")
    shutil.copytree(data, tmp_path / "two")
    with pytest.raises(InvalidInput, match="more than one folder"):
        attached(tmp_path)
    shutil.rmtree(tmp_path / "two")
    rows = tmp_path / "one" / "validation.jsonl"
    rows.write_bytes(rows.read_bytes().replace(b"long days", b"short days", 1))
    with pytest.raises(InvalidInput, match="not those that were made"):
        attached(tmp_path)
    rows.unlink()
    with pytest.raises(InvalidInput, match="cannot be read"):
        attached(tmp_path)


def test_without_anything_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="attach it, or give its hash"):
        training_data(tmp_path / "to", inputs=tmp_path / "none")


def test_what_is_attached_needs_the_standard_library_alone() -> None:
    """A wheel without its dependencies is what there is on Kaggle."""
    code = (
        "import sys, training.data.source; "
        "print([one for one in sys.modules if one.split('.')[0] in "
        "('numpy', 'psycopg', 'pyarrow', 'jinja2', 'supabase', 'httpx', 'pydantic')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
