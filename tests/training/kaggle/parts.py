"""What the tests of runs submit, and what stands for a kernel that trains."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from training import manifest
from training.config import FinetuneConfig
from training.kaggle.collect import Collecting
from training.kaggle.submit import Submission
from training.kaggle.wire import Patience

DATASET_HASH = "d" * 64
QUICK = Patience(
    request_s=20, retries=3, backoff_s=0.005, poll_s=0.01, dataset_s=20, unreadable=3
)  # fmt: skip
"""Pauses are short; what is waited for is as patient as ever."""
NOTEBOOK: dict[str, Any] = {
    "nbformat": 4,
    "nbformat_minor": 5,
    "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    "cells": [],
}


def notebook(*cells: str) -> dict[str, Any]:
    made = [
        {
            "cell_type": "code", "id": f"cell-{number}", "metadata": {}, "execution_count": 7,
            "outputs": [{"output_type": "stream", "name": "stdout", "text": "before"}],
            "source": cell.splitlines(keepends=True),
        }
        for number, cell in enumerate(cells)
    ]  # fmt: skip
    return {**NOTEBOOK, "cells": made}


def submission(folder: Path, **more: Any) -> Submission:
    """Made of files in `folder`, which are there afterwards."""
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    rows = {"train.jsonl": b'{"id": "1"}\n', "validation.jsonl": b'{"id": "2"}\n'}
    files = {}
    for name, content in rows.items():
        (data / name).write_bytes(content)
        files[name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    facts = {"format": 1, "hash": DATASET_HASH, "files": files}
    (data / "manifest.json").write_text(json.dumps(facts))
    wheel = folder / "promptly_rag-0.1.0-py3-none-any.whl"
    wheel.write_bytes(b"a wheel")
    given = Submission(data, notebook("1"), wheel, FinetuneConfig(time_limit_s=600))
    return replace(given, **more)


def trained(folder: Path, *, state: str = "finished", dataset_hash: str = DATASET_HASH) -> Path:
    """What a fine-tune leaves."""
    (folder / "adapter").mkdir(parents=True)
    (folder / "adapter" / "adapter_model.safetensors").write_bytes(b"weights")
    (folder / "metrics.json").write_text(json.dumps({"state": state, "loss": 0.5}))
    if state == "stopped":
        (folder / "checkpoints" / "checkpoint-3").mkdir(parents=True)
        (folder / "checkpoints" / "checkpoint-3" / "state.json").write_text("{}")
    manifest.write(folder, {"dataset_hash": dataset_hash, "base_model": "tiny"})
    return folder


def leaves(model: Path, *said: str) -> list[str]:
    """A command in place of a notebook, which leaves a copy of that folder."""
    return _script(said, f"cp -r '{model}'/. .")


def breaks(*said: str) -> list[str]:
    return _script(said, "exit 1")


def waits() -> list[str]:
    """Until it is killed."""
    return ["sleep", "600"]


def _script(said: tuple[str, ...], last: str) -> list[str]:
    rows = [{"stream_name": "stdout", "time": 0, "data": f"{line}\n"} for line in said]
    lines = "\n".join(json.dumps(row) for row in rows)
    told = f"cat >> ../log.jsonl <<'END'\n{lines}\nEND\n" if rows else ""
    return ["sh", "-c", f"{told}{last}"]


@dataclass
class Seen:
    """What was handed the results."""

    told: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    tracked: list[Any] = field(default_factory=list)

    def collecting(self, folder: Path, **more: Any) -> Collecting:
        given = {
            "score": lambda model, run: {"bleu_4": 0.25},
            "track": lambda model, run, metrics: self.tracked.append(dict(metrics)),
            "notify": lambda run: self.told.append(run.state),
            "tell": self.lines.append,
        }
        return Collecting(folder / "collected", **{**given, **more})

    @property
    def told_but_running(self) -> list[str]:
        """Whether a run is looked at while it runs is up to the machine."""
        return [one for one in self.told if one != "running"]
