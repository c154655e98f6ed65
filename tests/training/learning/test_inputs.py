from __future__ import annotations

import json
from pathlib import Path

import pytest

from model_pipeline.errors import InvalidInput
from tests.training.learning.material import CONFIG, write_data
from training.learning.inputs import find
from training.learning.libraries import missing


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
    assert found.data.name == "promptly-run-1" and found.config == CONFIG
    assert (found.base, found.resume, found.git_commit) == (None, None, None)


def test_the_run_tells_its_commit_and_what_came_before_is_gone_on_from(mounted: Path) -> None:
    data = find(mounted).data
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


def test_what_is_not_there_is_told_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"There is no train\.jsonl below .*: the data set is"):
        find(tmp_path)
    data = write_data(tmp_path / "data")
    with pytest.raises(InvalidInput, match=r"There is no config\.json in "):
        find(tmp_path)
    (data / "config.json").write_text("[]")
    with pytest.raises(InvalidInput, match="is no object"):
        find(tmp_path)
    (data / "config.json").write_text('{"rank": 0}')
    with pytest.raises(InvalidInput, match=r"finetune\.rank is 0"):
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
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        assert missing("a-project") == ["is-not-here-either>=2", "packaging>=9000"]
