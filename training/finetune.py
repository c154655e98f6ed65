"""Fine-tunes a language model on training data: the same on a laptop without a GPU, on Kaggle's two
T4s, and on anything larger.

In `out`, in the end: `adapter/` (PEFT), `merged/` where asked, `metrics.json`, `log.jsonl` (the
loss of each step), `samples.jsonl` (answers before and after), a model card, and, last of all,
`manifest.json`. One that was stopped has its `checkpoints/` instead, and goes on where it stopped;
so does one that was killed, at any time. It needs torch's libraries alone of what Promptly needs,
since it runs where nothing else is.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from model_pipeline.errors import ConfigurationError, Conflict, InvalidInput
from training import manifest
from training.config import FinetuneConfig
from training.learning import card, devices, launch
from training.learning.examples import read
from training.learning.progress import Tell, unheard
from training.learning.session import BEGUN, CHECKPOINTS, FINISHED, METRICS, Job, write_json

# What may differ from one session to the next of the same fine-tune.
FREE = {"time_limit_s", "patience", "generated", "max_new_tokens", "merge"}
VERSIONS = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "bitsandbytes")


@dataclass(frozen=True, slots=True)
class Outcome:
    """`finished`, or stopped to be gone on with; `metrics` are those of metrics.json."""

    folder: Path
    finished: bool
    metrics: dict[str, Any]


def finetune(
    data: Path,
    out: Path,
    config: FinetuneConfig,
    *,
    base: Path | str | None = None,
    resume: Path | None = None,
    git_commit: str | None = None,
    processes: int | None = None,
    tell: Tell = unheard,
    stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """`base` is a folder with the weights of `config.base_model`, which is else read from the Hub.
    `resume` is the folder of an earlier session, on another machine, or the checkpoints of one; one
    that was begun in `out` goes on by itself. `processes` share the work, by default one for each
    CUDA device. `stop` is asked after each step whether to leave a checkpoint and end.

    Raises InvalidInput, Conflict and ConfigurationError where it cannot begin, in one sentence, and
    FinetuneFailed where nothing comes of it.
    """
    began = time.monotonic()
    _require_libraries()
    given = read(data)
    place = str(base or config.base_model)
    facts = {
        "base_model": config.base_model,
        "base_revision": config.base_revision,
        "dataset_hash": given.hash,
        "config": config.to_dict(),
    }
    with _alone(out):
        _begin(out, facts, resume)
        (out / manifest.NAME).unlink(missing_ok=True)
        if not _is_finished(out):
            found = len(devices.capabilities())
            job = Job(
                data=data,
                out=out,
                config=config,
                base=place,
                processes=processes or max(found, 1),
                checkpoint=_last_checkpoint(out / CHECKPOINTS),
                until=began + config.time_limit_s if config.time_limit_s else None,
                tell=tell,
                asked_to_stop=stop,
            )
            launch.train(job, here=job.processes == 1 and found <= 1)
        return _sealed(out, facts, place, git_commit)


def _require_libraries() -> None:
    missing = [name for name in VERSIONS if name != "bitsandbytes" and _version(name) is None]
    if missing:
        raise ConfigurationError(
            f"Fine-tuning needs {', '.join(missing)}: `pip install 'promptly-rag[finetune]'`."
        )


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Makes `out`, and keeps others out of it. Raises InvalidInput where it is used for something
    else, Conflict where another process works in it."""
    used = out.exists() and not (out / BEGUN).is_file()
    if used and (not out.is_dir() or any(out.glob("[!.]*"))):
        raise InvalidInput(f"{out} holds other things: name a folder that is new or empty.")
    out.mkdir(parents=True, exist_ok=True)
    folder = os.open(out, os.O_RDONLY)
    try:
        _lock(folder, out)
        os.set_inheritable(folder, True)  # processes that outlive this one keep others out, too
        yield
    finally:
        os.close(folder)


def _lock(folder: int, out: Path) -> None:
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Conflict(f"Another process fine-tunes in {out}: wait until it has ended.") from error


def _begin(out: Path, facts: dict[str, Any], resume: Path | None) -> None:
    """`out` goes on as the same fine-tune left it, or begins: where nothing was learnt yet, with
    whatever facts."""
    checkpoints = out / CHECKPOINTS
    if _is_finished(out) or _last_checkpoint(checkpoints):
        _require_same(out, facts)
    elif resume is not None:
        _require_same(_travelled(resume), facts)
    if _is_finished(out):
        return
    checkpoints.mkdir(exist_ok=True)
    for folder in (out, checkpoints):  # checkpoints may travel without the rest
        write_json(folder / BEGUN, facts)
    for torn in set(_checkpoints(checkpoints)) - set(_whole(checkpoints)):
        shutil.rmtree(torn)
    if resume is not None and not _last_checkpoint(checkpoints):
        for one in _whole(_travelled(resume)):
            shutil.copytree(one, checkpoints / one.name)
        if not _last_checkpoint(checkpoints):
            raise InvalidInput(f"{resume} has no whole checkpoint to go on from.")


def _travelled(resume: Path) -> Path:
    """Checkpoints of an earlier session, in its folder or by themselves."""
    return resume / CHECKPOINTS if (resume / CHECKPOINTS).is_dir() else resume


def _require_same(folder: Path, facts: dict[str, Any]) -> None:
    """Raises Conflict where `folder` is of another fine-tune, InvalidInput where it is of none."""
    try:
        begun = json.loads((folder / BEGUN).read_bytes())
        before, now = _flat(begun), _flat(facts)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InvalidInput(f"{folder} is not the folder of a fine-tune.") from error
    for key in now:
        if before.get(key) != now[key]:
            raise Conflict(
                f"{folder} is of a fine-tune with another {key}, {before.get(key)!r} and not "
                f"{now[key]!r}: name another folder to begin anew."
            )


def _flat(facts: dict[str, Any]) -> dict[str, Any]:
    config = {key: value for key, value in facts["config"].items() if key not in FREE}
    return {key: value for key, value in facts.items() if key != "config"} | config


def _checkpoints(folder: Path) -> list[Path]:
    """The newest first."""
    found = [one for one in folder.glob("checkpoint-*") if one.name.split("-")[1].isdecimal()]
    return sorted(found, key=lambda one: int(one.name.split("-")[1]), reverse=True)


def _whole(folder: Path) -> list[Path]:
    return [one for one in _checkpoints(folder) if not manifest.verify(one)]


def _last_checkpoint(folder: Path) -> Path | None:
    """The newest that is whole and whose best is there too."""
    whole = _whole(folder)
    for one in whole:
        best = json.loads((one / "trainer_state.json").read_bytes()).get("best_global_step")
        if not best or folder / f"checkpoint-{best}" in whole:
            return one
    return None


def _is_finished(out: Path) -> bool:
    path = out / METRICS
    return path.is_file() and json.loads(path.read_bytes()).get("state") == FINISHED


def _sealed(out: Path, facts: dict[str, Any], place: str, git_commit: str | None) -> Outcome:
    metrics = json.loads((out / METRICS).read_bytes())
    finished = metrics["state"] == FINISHED
    if finished:
        shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)
    versions = {name: found for name in ("promptly-rag", *VERSIONS) if (found := _version(name))}
    facts = facts | {
        "state": metrics["state"],
        "base_revision": facts["base_revision"] or metrics["base_revision"],
        "base_hash": _hash(Path(place)) if Path(place).is_dir() else None,
        "versions": {"python": sys.version.split()[0], **versions},
        "git_commit": git_commit,
        "seed": facts["config"]["seed"],
    }
    (out / card.NAME).write_text(card.card(facts, metrics), "utf-8")
    manifest.write(out, facts)
    return Outcome(out, finished, metrics)


def _hash(folder: Path) -> str:
    """sha256 over the names and contents of a model's files."""
    digest = hashlib.sha256()
    for path in sorted(one for one in folder.iterdir() if one.is_file()):
        with path.open("rb") as file:
            digest.update(path.name.encode() + b"\0" + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
