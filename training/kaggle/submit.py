"""Submits a run: its wheel and training data as a private dataset, its notebook as a kernel of the
same name, and every step recorded before and after it, so that the same again goes on from wherever
it was killed."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from model_pipeline.errors import InvalidInput, PromptlyError, Unavailable
from model_pipeline.store.runs import PgRuns, Run, RunHeld, short
from training import manifest
from training.config import FinetuneConfig
from training.kaggle.client import LONGEST_S, Kaggle, PushRefused
from training.kaggle.runs import ENDED, HeldRun, held
from training.kaggle.wire import KaggleAway, KaggleDenied

MOST_PUSHES = 3
MARGIN_S = 3600  # for what comes before and after the training
CHECKPOINTS = "checkpoints"
Tell = Callable[[str], None]
Notify = Callable[[Run], None]


@dataclass(frozen=True, slots=True)
class Submission:
    """`data` is a folder of training data, `notebook` as Jupyter saves it; `checkpoints` is what a
    run that is gone on from has left."""

    data: Path
    notebook: Mapping[str, Any]
    wheel: Path
    config: FinetuneConfig
    git_commit: str | None = None
    resumes: UUID | None = None
    checkpoints: Path | None = None
    key: str | None = None

    @property
    def limit_s(self) -> float:
        """Of the kernel."""
        return min((self.config.time_limit_s or LONGEST_S) + MARGIN_S, LONGEST_S)


def submit(
    runs: PgRuns,
    kaggle: Kaggle,
    submission: Submission,
    *,
    notify: Notify = lambda _: None,
    tell: Tell = lambda _: None,
) -> Run:
    """The one run of this submission's key, on Kaggle. Raises InvalidInput for training data that
    is damaged, Unavailable where the quota is too low or Kaggle is busy or away: then the same
    again goes on."""
    dataset_hash = require_data(submission.data)
    key = submission.key or content_key(submission, dataset_hash)
    run = runs.find(key)
    if run is None or run.state == "preparing":
        quota = _require_quota(kaggle, submission.limit_s)
    sweep(runs, kaggle, tell=tell)
    run = runs.open(
        key,
        dataset_hash=dataset_hash,
        config=submission.config.to_dict(),
        git_commit=submission.git_commit,
        resumes=submission.resumes,
    )
    if run.state not in ("preparing", "pushing"):
        tell(f"The same was submitted before: run {short(run.run_id)}. --key NAME makes another.")
        return run
    with held(runs, run.run_id) as mine, leaving_nothing(runs, kaggle, run):
        if mine.run.state == "preparing":
            mine.note(quota=quota)
            with tempfile.TemporaryDirectory() as folder:
                _put_dataset(kaggle, mine, _pack(submission, mine.run, Path(folder)), tell)
        _push(kaggle, mine, submission, tell)
        try:
            tell_once(mine, notify)
        except Unavailable as error:  # whoever collects it tells it then
            tell(error.message)
        return mine.run


def require_data(folder: Path) -> str:
    """The hash of the training data. Raises InvalidInput where a file is not the one that was
    written."""
    found = manifest.read(folder)
    if faults := manifest.verify(folder, alone=False):
        raise InvalidInput(f"{folder}: {faults[0]} Make the training data again.")
    if "hash" not in found or not {"train.jsonl", "validation.jsonl"} <= found["files"].keys():
        raise InvalidInput(f"{folder} holds no training data: make it with `promptly train data`.")
    return str(found["hash"])


def content_key(submission: Submission, dataset_hash: str) -> str:
    """Training data, configuration and code: all that decides what comes out."""
    wheel = hashlib.sha256(submission.wheel.read_bytes()).hexdigest()
    facts = [dataset_hash, submission.config.to_dict(), wheel, str(submission.resumes)]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def sweep(runs: PgRuns, kaggle: Kaggle, *, tell: Tell = lambda _: None) -> list[str]:
    """Deletes what runs that have ended may have left on Kaggle; returns the slugs. Kernels of
    runs that this database does not know are another's, and stay."""
    ended = {run.slug: run for run in runs.in_states(ENDED)}
    orphans = {slug for slug, run in ended.items() if run.cleaned_at is None}
    orphans |= ended.keys() & set(kaggle.kernels())
    for slug in sorted(orphans):
        tell(f"Deleting what run {short(ended[slug].run_id)} left on Kaggle.")
        clean(runs, kaggle, ended[slug])
    return sorted(orphans)


def clean(runs: PgRuns, kaggle: Kaggle, run: Run) -> None:
    """Kernel and dataset of a run that has ended. One that may have been pushed a moment ago is
    looked at again later: a new kernel cannot be seen at first."""
    kaggle.delete(run.slug)
    unsettled = run.pushes and run.kernel_version is None
    if not (unsettled and _since(run.changed_at) < kaggle.patience.appear_s):
        with suppress(RunHeld):  # published meanwhile: the next sweep notes it
            runs.change(run, worker=None, lease_s=0, cleaned_at=datetime.now(UTC))


@contextmanager
def leaving_nothing(runs: PgRuns, kaggle: Kaggle, run: Run) -> Iterator[None]:
    """Whatever way out: of a run that has ended nothing stays on Kaggle, as far as Kaggle answers;
    the rest is swept."""
    try:
        yield
    finally:
        found = runs.get(run.run_id)
        if found.state in ENDED and found.cleaned_at is None:
            with suppress(KaggleAway, KaggleDenied):
                clean(runs, kaggle, found)


def tell_once(mine: HeldRun, notify: Notify) -> None:
    """Of each state once, but for a kill in between, after which it is told again."""
    if mine.run.told == mine.run.state:
        return
    notify(mine.run)
    mine.note(told=mine.run.state)


def appeared(kaggle: Kaggle, mine: HeldRun, *, wait: bool) -> bool:
    """Whether a push of which nobody heard was taken: False once it would have been seen by now,
    and without `wait` also while it may be too new."""
    while True:
        version = kaggle.pushed_version(mine.run.slug)
        if version is not None:
            mine.move("pushed", kernel_version=version)
            return True
        if not wait or not too_new(kaggle, mine.run):
            return False
        time.sleep(kaggle.patience.poll_s)


def too_new(kaggle: Kaggle, run: Run) -> bool:
    """Whether its kernel may be there without being seen."""
    return run.pushed_at is not None and _since(run.pushed_at) < kaggle.patience.appear_s


def _since(moment: datetime) -> float:
    return (datetime.now(UTC) - moment).total_seconds()


def _require_quota(kaggle: Kaggle, limit_s: float) -> Mapping[str, Any] | None:
    quota = kaggle.quota()
    if quota is None:
        return None
    if quota.left * 3600 < limit_s:
        at = f" until {quota.refresh_at:%Y-%m-%d %H:%M} UTC" if quota.refresh_at else ""
        raise Unavailable(
            f"The weekly quota of GPU has {quota.left:.1f} of {quota.allowed:.1f} hours left{at}, "
            f"and this run may take {limit_s / 3600:.1f}: submit it later, or set a shorter "
            "time_limit_s.",
            retry_after_s=3600,
        )
    return quota.to_row()


def _pack(submission: Submission, run: Run, folder: Path) -> list[Path]:
    """All that the notebook is given, flat: Kaggle skips folders but for archives, which it
    unpacks."""
    names = manifest.read(submission.data)["files"]
    for name in (manifest.NAME, *names):
        shutil.copyfile(submission.data / name, folder / Path(name).name)
    shutil.copyfile(submission.wheel, folder / submission.wheel.name)
    facts = {
        "run_id": str(run.run_id),
        "wheel": hashlib.sha256(submission.wheel.read_bytes()).hexdigest(),
        "slug": run.slug,
        "dataset_hash": run.dataset_hash,
        "git_commit": run.git_commit,
        "resumes": str(run.resumes) if run.resumes else None,
    }
    _write_json(folder / "config.json", submission.config.to_dict())
    _write_json(folder / "run.json", facts)
    if submission.checkpoints:
        shutil.make_archive(str(folder / CHECKPOINTS), "zip", submission.checkpoints)
    return sorted(path for path in folder.iterdir() if path.is_file())


def _write_json(path: Path, facts: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(facts, indent=2, sort_keys=True) + "\n", "utf-8")


def _put_dataset(kaggle: Kaggle, mine: HeldRun, files: list[Path], tell: Tell) -> None:
    """Until Kaggle has these files, and is done with them. A size of 0 is one not told."""
    slug = mine.run.slug
    sizes = {path.name: path.stat().st_size for path in files}
    wanted = {name: size for name, size in sizes.items() if not name.endswith(".zip")}
    deadline = time.monotonic() + kaggle.patience.dataset_s
    put = 0
    while True:
        status = kaggle.dataset_status(slug)
        if status == "ready":
            there = kaggle.dataset_files(slug)
            if all(there.get(name) in (size, 0) for name, size in wanted.items()):
                return
        if status in ("absent", "failed", "ready") and put < MOST_PUSHES:
            put += 1
            tell(f"Uploading {len(files)} files, {sum(sizes.values()) / 1e6:.1f} MB.")
            # Refused while its last version is processed, or done without an answer: its status
            # says what came of it.
            with suppress(KaggleAway, KaggleDenied):
                kaggle.put_dataset(slug, files, again=status != "absent")
        if time.monotonic() > deadline:
            raise KaggleAway(
                f"Kaggle did not make the dataset {slug} ready within "
                f"{kaggle.patience.dataset_s:.0f} s (it is {status})."
            )
        time.sleep(kaggle.patience.poll_s)


def _push(kaggle: Kaggle, mine: HeldRun, submission: Submission, tell: Tell) -> None:
    """Until Kaggle has the kernel. It is pushed again only where a push before was refused, or was
    not seen for as long as a new kernel may be hidden, and then what may come of it is deleted
    first: two of one slug would both run."""
    while mine.run.state in ("preparing", "pushing"):
        if mine.run.state == "pushing":
            tell("Looking whether Kaggle has taken the notebook.")
            if appeared(kaggle, mine, wait=True):
                return
            kaggle.delete_kernel(mine.run.slug)
            mine.move("refused", {"reason": "Kaggle did not take it."})
        if mine.run.pushes >= MOST_PUSHES:
            mine.fail("infrastructure", f"Kaggle did not take it in {MOST_PUSHES} pushes.")
            return
        mine.move("push", pushes=mine.run.pushes + 1, pushed_at=datetime.now(UTC))
        try:
            version = kaggle.push(
                mine.run.slug, dict(submission.notebook), limit_s=submission.limit_s
            )
        except PushRefused as error:
            _refused(kaggle, mine, error)
        except KaggleAway as error:
            tell(error.message)
        except PromptlyError as error:
            mine.fail("failed", error.message)
            raise
        else:
            mine.move("pushed", kernel_version=version)


def _refused(kaggle: Kaggle, mine: HeldRun, error: PushRefused) -> None:
    if error.runs:
        kaggle.delete_kernel(mine.run.slug)
    if not error.passing:
        mine.fail("failed", error.message)
        raise error
    if error.runs:  # the dataset is not known everywhere yet
        mine.move("refused", {"reason": error.message})
        time.sleep(kaggle.patience.poll_s)
        return
    # Another run has the place: that is no push that failed.
    mine.move("refused", {"reason": error.message}, pushes=mine.run.pushes - 1)
    raise Unavailable(
        f"{error.message} Run {short(mine.run.run_id)} is prepared: the same command goes on when "
        "there is room.",
        retry_after_s=600,
    )
