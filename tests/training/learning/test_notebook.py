"""The notebook, executed whole: in a folder that is laid out as Kaggle's, by a kernel that knows
nothing of this checkout."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hatchling.builders.wheel import WheelBuilder

from model_pipeline.store import training_lines
from model_pipeline.store.connect import open_pool
from tests.servers import supabase_lite
from tests.training.learning.material import CONFIG
from training import manifest

pytestmark = pytest.mark.timeout(600)  # half of it is importing, which other tests slow down
REPO = Path(__file__).resolve().parents[3]
NOTEBOOK = REPO / "notebooks" / "promptly-finetuning.ipynb"
# A process of its own: what the kernel's client warns of is none of ours.
EXECUTE = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], 4)
place = {"metadata": {"path": sys.argv[2]}}
NotebookClient(notebook, timeout=500, allow_errors=True, resources=place).execute()
nbformat.write(notebook, sys.argv[3])
"""


Executed = tuple[dict[str, Any], Path]
"""Each cell of code by its id, and the working folder."""


def execute(kaggle: Path, notebook: Path = NOTEBOOK, **variables: str) -> Executed:
    """In `kaggle`, whose `input` is laid out as on Kaggle."""
    working, done = kaggle / "working", kaggle / "done.ipynb"
    working.mkdir()
    subprocess.run(
        [sys.executable, "-c", EXECUTE, notebook, working, done],
        check=True,
        cwd=working,
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(kaggle),
            "PROMPTLY_KAGGLE": str(kaggle),
            "OMP_NUM_THREADS": "1",  # so small that more would wait for each other
            **variables,
        },
        capture_output=True,
    )
    cells = nbformat.read(done, 4)["cells"]
    return {one["id"]: one for one in cells if one["cell_type"] == "code"}, working


def attach_wheel(folder: Path) -> None:
    list(WheelBuilder(str(REPO)).build(directory=str(folder), versions=["standard"]))


@pytest.fixture(scope="module")
def executed(
    tmp_path_factory: pytest.TempPathFactory, tiny_base: Path, tiny_data: Path
) -> Executed:
    kaggle = tmp_path_factory.mktemp("kaggle")
    given = kaggle / "input" / "datasets" / "owner" / "run-1"
    shutil.copytree(tiny_data, given)
    shutil.copytree(tiny_base, kaggle / "input" / "tiny" / "transformers" / "1")
    attach_wheel(given)
    (given / "config.json").write_text(json.dumps(replace(CONFIG, merge=True).to_dict()))
    (given / "run.json").write_text(json.dumps({"git_commit": "e" * 40}))
    return execute(kaggle)


def said(executed: Executed, cell: str) -> str:
    return "".join(
        one.get("text", "") or "\n".join(one.get("traceback", []))
        for one in executed[0][cell]["outputs"]
    )


def test_every_cell_ends_well(executed: Executed) -> None:
    for name, cell in executed[0].items():
        failed = [one for one in cell["outputs"] if one["output_type"] == "error"]
        assert not failed, f"{name}: {said(executed, name)}"
        assert cell["execution_count"] is not None, name


def test_the_first_cell_says_what_the_machine_has(executed: Executed) -> None:
    found = said(executed, "machine")
    assert "Internet: " in found and "GPUs: " in found and "GiB free" in found


def test_it_runs_the_wheel_and_no_checkout(executed: Executed) -> None:
    found = said(executed, "libraries")
    assert found.startswith("promptly_rag-") and str(REPO) not in found
    assert "packages-" in found and "To be installed" not in found


def test_what_it_leaves_is_whole_and_says_what_it_is_of(
    executed: Executed,
) -> None:
    out = executed[1] / "finetune"
    assert manifest.verify(out) == []
    found = manifest.read(out)
    assert found["git_commit"] == "e" * 40 and found["config"]["merge"] is True
    assert {
        "README.md", "adapter/adapter_model.safetensors", "log.jsonl", "merged/model.safetensors",
        "metrics.json",
    } < set(found["files"])  # fmt: skip
    assert [one.name for one in executed[1].iterdir()] == ["finetune"]
    assert said(executed, "files").endswith("Finished.\n")


def test_it_plots_the_loss_and_shows_answers_before_and_after(
    executed: Executed,
) -> None:
    [plot] = [one for one in executed[0]["loss"]["outputs"] if "data" in one]
    assert len(plot["data"]["image/png"]) > 5_000
    found = said(executed, "samples")
    assert "reference: It opens at 7 [1]." in found and "after: It opens at" in found
    assert "rouge_l_f1: 0.000 → 0." in said(executed, "scores")


def test_what_is_not_attached_comes_over_https(
    database: str, tmp_path: Path, tiny_base: Path, tiny_data: Path
) -> None:
    """As far as the training data: what follows is the same."""
    if reason := supabase_lite.missing():
        pytest.skip(f"{reason}: sh tests/servers/install-node.sh supabase")
    found = manifest.read(tiny_data)["hash"]
    with open_pool(database, min_size=1, max_size=1) as pool:
        files = [tiny_data / name for name in ("train.jsonl", "validation.jsonl", manifest.NAME)]
        training_lines.put(pool, found, files)
    kaggle = tmp_path / "kaggle"
    shutil.copytree(tiny_base, kaggle / "input" / "tiny")
    attach_wheel(kaggle / "input" / "code")
    notebook = nbformat.read(NOTEBOOK, 4)
    ids = [one["id"] for one in notebook["cells"]]
    notebook["cells"] = notebook["cells"][: ids.index("data") + 1]
    nbformat.write(notebook, tmp_path / "begins.ipynb")
    with supabase_lite.running(database, tmp_path) as api:
        executed = execute(
            kaggle, tmp_path / "begins.ipynb", PROMPTLY_DATASET_HASH=found,
            SUPABASE_URL=api.url, SUPABASE_SECRET_KEY=api.service_key,
        )  # fmt: skip
    assert f"22 examples, 6 for validation; {found[:12]}" in said(executed, "data")
    assert list(executed[1].iterdir()) == [], "what is left there is downloaded"


def test_it_is_as_it_is_pushed() -> None:
    """With a kernelspec, which Kaggle needs, and no outputs, which it takes away."""
    found = nbformat.read(NOTEBOOK, 4)
    nbformat.validate(found)
    assert found["metadata"]["kernelspec"]["name"] == "python3"
    for cell in found["cells"]:
        assert not cell.get("outputs") and cell.get("execution_count") is None
        assert len(cell["source"].splitlines()) <= 40
