from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from model_pipeline.errors import InvalidInput
from tests.training.learning.material import CONFIG, write_data
from training.config import FinetuneConfig
from training.learning.inputs import find
from training.learning.libraries import OVER_HTTPS, missing


@pytest.fixture(params=["promptly-run-1", "datasets/owner/promptly-run-1"])
def mounted(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Training data as Kaggle mounts it, the older way and the newer."""
    data = write_data(tmp_path / request.param)
    (data / "config.json").write_text(json.dumps(CONFIG.to_dict()))
    return tmp_path


def model(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "model.safetensors").write_bytes(b"")
    return folder


def test_it_is_found_wherever_it_is_mounted(mounted: Path) -> None:
    found = find(mounted)
    assert found.config == CONFIG
    assert (found.base, found.resume, found.git_commit) == (None, None, None)


def test_the_run_tells_its_commit_and_what_came_before_is_gone_on_from(mounted: Path) -> None:
    [data] = (path.parent for path in mounted.rglob("train.jsonl"))
    (data / "run.json").write_text('{"git_commit": "abc"}')
    checkpoints = data / "checkpoints"
    checkpoints.mkdir()
    (checkpoints / "begun.json").write_text("{}")
    found = find(mounted)
    assert found.git_commit == "abc" and found.resume == checkpoints


def test_of_a_whole_session_before_it_is_the_outer_folder_that_is_taken(mounted: Path) -> None:
    session = mounted / "kernel" / "finetune"
    (session / "checkpoints").mkdir(parents=True)
    for one in (session, session / "checkpoints"):
        (one / "begun.json").write_text("{}")
    assert find(mounted).resume == session
    other = mounted / "other"
    other.mkdir()
    (other / "begun.json").write_text("{}")
    with pytest.raises(InvalidInput, match=r"There are two folders with begun\.json"):
        find(mounted)


def test_a_model_that_is_attached_is_the_base_and_of_several_the_one_that_is_named(
    mounted: Path,
) -> None:
    attached = model(mounted / "models" / "some-model" / "1")
    assert find(mounted).base == attached
    named = model(mounted / "models" / "tiny" / "1")
    assert find(mounted).base == named
    model(mounted / "again" / "tiny")
    with pytest.raises(InvalidInput, match="There are 3 models below"):
        find(mounted)


def test_a_configuration_is_the_one_that_is_attached_or_the_defaults(tmp_path: Path) -> None:
    assert find(tmp_path).config == FinetuneConfig()
    data = write_data(tmp_path / "data")
    model(tmp_path / "tiny")
    assert find(tmp_path).config == FinetuneConfig(), "that of a model is none"
    (data / "config.json").write_text("[]")
    with pytest.raises(InvalidInput, match="is no object"):
        find(tmp_path)
    (data / "config.json").write_text('{"rank": 0}')
    with pytest.raises(InvalidInput, match=r"finetune\.rank is 0"):
        find(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InvalidInput, match=r"There are 2 config\.json below"):
        find(tmp_path)


def test_what_is_missing_is_what_the_extra_wants_and_is_not_here(tmp_path: Path) -> None:
    about = tmp_path / "a_project-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(
        "Metadata-Version: 2.4\nName: a-project\nVersion: 1.0\nProvides-Extra: finetune\n"
        "Requires-Dist: is-not-here\n"
        "Requires-Dist: is-not-here-either>=2; extra == 'finetune'\n"
        "Requires-Dist: packaging>=9000; extra == 'finetune'\n"
        "Requires-Dist: packaging>=20; extra == 'finetune'\n"
        "Requires-Dist: nor-this; extra == 'other'\n"
        "Requires-Dist: but-this[fast]>=1; extra == 'other'\n"
        "Requires-Dist: but-this[fast]>=1; extra == 'more'\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        wanted = ["is-not-here-either>=2", "packaging>=9000"]
        assert missing(distribution="a-project") == wanted
        also = {"is-not-here", "but-this"}
        found = missing(also, distribution="a-project")
        assert found == ["is-not-here", *wanted, "but-this[fast]>=1"]


def test_over_https_training_data_needs_what_is_said() -> None:
    """Of what the project depends on, none but these."""
    others = "fastapi structlog pydantic_settings typer onnx onnxruntime tokenizers jwt streamlit"
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({others.split()}));"
        "import model_pipeline.load_data, model_pipeline.store.doors;"
        "from model_pipeline.store.supabase_api import open_client"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    names = {Requirement(one).name for one in requires("promptly-rag") or []}
    assert names > OVER_HTTPS
