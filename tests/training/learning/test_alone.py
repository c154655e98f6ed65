"""What runs on Kaggle needs nothing of Promptly's but torch's libraries."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import training

LIBRARIES = {"torch", "transformers", "trl", "peft", "accelerate", "datasets", "safetensors"}
FOLDER = Path(training.__file__).parent
BEGIN = "finetune"


def imported(path: Path) -> set[str]:
    """Full names, at the top of a module and within its functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{one.name}" for one in node.names} | {node.module}
    return found


def reached() -> dict[str, set[str]]:
    """The modules of `training` that a fine-tune comes to, with what each imports."""
    found: dict[str, set[str]] = {}
    waiting = [BEGIN]
    while waiting:
        name = waiting.pop()
        path = FOLDER / f"{name.replace('.', '/')}.py"
        if name in found or not path.is_file():
            continue
        found[name] = imported(path)
        waiting += [one.removeprefix("training.") for one in found[name]]
    return found


def test_a_fine_tune_imports_torchs_libraries_and_the_standard_one() -> None:
    found = reached()
    parts = ("learn", "trainer", "results", "callbacks", "launch", "card")
    assert {f"learning.{one}" for one in parts} <= set(found)
    own = {"training", "model_pipeline"}
    for name, names in found.items():
        strange = {one.split(".")[0] for one in names} - LIBRARIES - own
        assert strange <= set(sys.stdlib_module_names), name


@pytest.mark.parametrize(
    "name",
    ["finetune", *(f"learning.{one}" for one in ("inputs", "libraries", "progress", "launch"))],
)
def test_it_begins_with_the_standard_library_alone(name: str) -> None:
    """Heavy libraries are imported once they are needed, and told of where they are missing."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import training.{name}"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_without_libraries_it_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from training.finetune import finetune; "
        "from training.config import FinetuneConfig; "
        f"finetune(Path({str(tmp_path)!r}), Path('out'), FinetuneConfig())"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True)
    said = done.stderr.splitlines()[-1]
    assert "Fine-tuning needs torch, transformers, trl, peft, accelerate, datasets: `pip" in said


def test_answers_are_kept_where_what_scores_them_is_missing() -> None:
    code = (
        "import json; from training.learning.answers import Answered, scores; "
        "print(json.dumps(scores([Answered('a', 'q', 'r', 'b', 'c')])))"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True)
    assert json.loads(done.stdout) == {"answered": 1, "unscored": "numpy is not installed."}
