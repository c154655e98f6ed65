"""Collects runs: looks how they stand on Kaggle, and of one that has ended fetches, verifies and
scores what it left. Each look is short, and the same again goes on from wherever it was killed."""

from __future__ import annotations

import json
import math
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from model_pipeline.errors import InvalidInput, PromptlyError, Unavailable
from model_pipeline.store.runs import PgRuns, Run, RunHeld, short
from training import manifest
from training.kaggle.client import Kaggle
from training.kaggle.outputs import download, download_dataset, log_lines
from training.kaggle.resume import SUBMITTED, resumable
from training.kaggle.runs import ENDED, UNDER_WAY, HeldRun, held
from training.kaggle.submit import (
    Notify,
    Tell,
    appeared,
    leaving_nothing,
    sweep,
    tell_once,
    too_new,
)
from training.kaggle.verdicts import verdict_of
from training.kaggle.wire import KaggleAway, KaggleDenied

ABANDONED = timedelta(days=1)  # a submission that nobody goes on with
LONGEST_LOG = 256 * 1024  # characters that are kept
CUTS = 5  # connections to a log that may be cut in a row
STOPPED = "stopped"  # the state in metrics.json of what came to its time limit
Metrics = Mapping[str, Any]
Score = Callable[[Path, Run], Metrics]
"""Figures of the model in a folder, beside those that the run wrote itself."""
Publish = Callable[[Path, Run, Metrics], str | None]
"""The version that it is published as; None where it is not to be."""
Track = Callable[[Path, Run, Metrics], None]


def _no_score(_folder: Path, _run: Run) -> Metrics:
    return {}


@dataclass(frozen=True, slots=True)
class Collecting:
    """What becomes of what was collected; `folder` holds it, a folder for each run."""

    folder: Path
    score: Score = _no_score
    track: Track = lambda _folder, _run, _metrics: None
    publish: Publish = lambda _folder, _run, _metrics: None
    notify: Notify = lambda _: None
    tell: Tell = lambda _: None

    def of(self, run: Run) -> Path:
        """Its `model`, which is what it left; `submitted`, where it can be gone on from; and
        `kernel.log`."""
        return self.folder / str(run.run_id)


def collect(
    runs: PgRuns, kaggle: Kaggle, collecting: Collecting, *, only: Run | None = None
) -> list[Run]:
    """One look at each run that is under way, or at that one; returns them as they stand then. A
    run that another process works on is left to it."""
    sweep(runs, kaggle, tell=collecting.tell)
    looked: list[Run] = []
    for run in [only] if only else [*runs.in_states(UNDER_WAY), *_untold(runs)]:
        try:
            looked.append(collect_run(runs, kaggle, collecting, run))
        except RunHeld as error:
            collecting.tell(error.message)
        except (Unavailable, KaggleDenied) as error:
            collecting.tell(f"Run {short(run.run_id)}: {error.message}")
            looked.append(runs.get(run.run_id))
    return looked


def wait_for(runs: PgRuns, kaggle: Kaggle, collecting: Collecting, run: Run) -> Run:
    """Looks until it has ended, and tells its log meanwhile; of one that has ended, that nothing of
    it is left to do. One that was only prepared is for `submit` to go on with."""
    following: threading.Thread | None = None
    while run.state != "preparing":
        if run.state == "running" and following is None:
            following = threading.Thread(
                target=follow, args=(kaggle, run.slug, collecting.tell), daemon=True
            )
            following.start()
        found = collect(runs, kaggle, collecting, only=run)
        run = found[0] if found else runs.get(run.run_id)
        if run.state not in UNDER_WAY:
            break
        if run.state != "collecting":
            time.sleep(kaggle.patience.poll_s)
    if following is not None:
        following.join(kaggle.patience.poll_s)
    return run


def follow(kaggle: Kaggle, slug: str, tell: Tell) -> None:
    """Its log, line by line until it ends. Kaggle cuts the connection now and then, and tells all
    anew after that: each line is told once."""
    told, cuts = 0, 0
    while cuts <= CUTS:
        before = told
        try:
            for number, line in enumerate(log_lines(kaggle, slug)):
                if number >= told:
                    tell(line)
                    told += 1
            return
        except (KaggleAway, KaggleDenied):
            cuts = 0 if told > before else cuts + 1
            time.sleep(kaggle.patience.backoff_s)


def collect_run(runs: PgRuns, kaggle: Kaggle, collecting: Collecting, run: Run) -> Run:
    with held(runs, run.run_id) as mine, leaving_nothing(runs, kaggle, run):
        if mine.run.state == "preparing":
            _forsaken(mine)
        if mine.run.state == "pushing":
            _look_for(kaggle, mine)
        if mine.run.state in ("submitted", "running"):
            tell_once(mine, collecting.notify)
            _look_at(kaggle, mine)
        if mine.run.state == "collecting":
            _gather(runs, kaggle, mine, collecting)
        if mine.run.state in ENDED:
            tell_once(mine, collecting.notify)
            if resumable(mine.run):
                _keep_submitted(kaggle, mine.run, collecting.of(mine.run))
        return mine.run


def _keep_submitted(kaggle: Kaggle, run: Run, place: Path) -> None:
    """What it was given is deleted from Kaggle with it."""
    if run.cleaned_at is None:
        with suppress(KaggleAway, KaggleDenied):
            download_dataset(kaggle, run.slug, place / SUBMITTED)


def _untold(runs: PgRuns) -> list[Run]:
    """Runs that ended, and nobody was told."""
    return [run for run in runs.in_states(ENDED) if run.told != run.state]


def _forsaken(mine: HeldRun) -> None:
    if datetime.now(UTC) - mine.run.changed_at > ABANDONED:
        mine.fail("infrastructure", "It was prepared, and in a day nobody went on to submit it.")


def _look_for(kaggle: Kaggle, mine: HeldRun) -> None:
    """Of a push whose process died: Kaggle may have taken it."""
    if not appeared(kaggle, mine, wait=False) and not too_new(kaggle, mine.run):
        mine.move("refused", {"reason": "Kaggle did not take it."})


def _look_at(kaggle: Kaggle, mine: HeldRun) -> None:
    patience, run = kaggle.patience, mine.run
    assert run.pushed_at is not None
    try:
        status, said = kaggle.status(run.slug)
    except KaggleDenied:
        if not too_new(kaggle, run):
            mine.fail("infrastructure", "Kaggle has no such kernel any more: it was deleted there.")
        return
    except KaggleAway as error:
        mine.note(unreadable=run.unreadable + 1)
        if mine.run.unreadable >= patience.unreadable:
            mine.fail(
                "infrastructure",
                f"Its status could not be read {patience.unreadable} times in a row: "
                f"{error.message}",
            )
        return
    if run.unreadable:
        mine.note(unreadable=0)
    if status == "running" and run.state == "submitted":
        mine.move("start")
    elif status in ("complete", "error", "cancelled"):
        mine.move("end", {"status": status, "said": _storable(said)}, ended_at=datetime.now(UTC))
    elif (datetime.now(UTC) - run.pushed_at).total_seconds() > patience.whole_s:
        mine.fail(
            "infrastructure", f"It was {status} for more than {patience.whole_s / 3600:.0f} hours."
        )


def _gather(runs: PgRuns, kaggle: Kaggle, mine: HeldRun, collecting: Collecting) -> None:
    """From its end on Kaggle to its own."""
    patience, run = kaggle.patience, mine.run
    if run.collections >= patience.collections:
        mine.fail(
            "infrastructure",
            f"What it left could not be collected in {patience.collections} attempts.",
        )
        return
    mine.note(collections=run.collections + 1)
    ended = next(one for one in reversed(runs.events(run.run_id)) if one.event == "end").detail
    log = list(log_lines(kaggle, run.slug))
    kept = "\n".join(log)
    place = collecting.of(run)
    place.mkdir(parents=True, exist_ok=True)
    (place / "kernel.log").write_text(kept + "\n", "utf-8", "replace")
    mine.note(log=_storable(kept[-LONGEST_LOG:]))
    if ended["status"] == "cancelled":
        mine.fail("infrastructure", "It was cancelled on Kaggle, by hand or by its time limit.")
        return
    if ended["status"] == "error":
        verdict, reason = verdict_of(ended["said"], log)
        mine.fail(verdict, _storable(reason))
        return
    model = _fetch(kaggle, mine, place)
    if model is not None:
        _finish(mine, model, collecting, attempts=patience.collections)


def _fetch(kaggle: Kaggle, mine: HeldRun, place: Path) -> Path | None:
    """What it left, each file as its manifest has it and no others; None where the run has failed
    by it. Raises KaggleAway where it arrived otherwise than it was written."""
    model, arriving = place / "model", place / ".arriving"
    if not manifest.verify(model):
        return model  # an earlier attempt came as far as this
    for folder in (model, arriving):
        shutil.rmtree(folder, ignore_errors=True)
    try:
        download(kaggle, mine.run.slug, arriving)
        found = min(arriving.rglob(manifest.NAME), key=lambda one: len(one.parts), default=None)
        if found is None:
            mine.fail("failed", "It ended without writing its manifest.")
            return None
        for name in manifest.read(found.parent)["files"]:
            if (found.parent / name).is_file():
                target = model / name
                target.parent.mkdir(parents=True, exist_ok=True)
                (found.parent / name).replace(target)
        found.replace(model / manifest.NAME)
        if faults := manifest.verify(model):
            raise KaggleAway(f"What it left did not arrive as it was written: {faults[0]}")
        return model
    except InvalidInput as error:
        if mine.run.collections < kaggle.patience.collections:  # it may be Kaggle's answer only
            raise KaggleAway(error.message) from error
        mine.fail("failed", error.message)
        return None
    finally:
        shutil.rmtree(arriving, ignore_errors=True)


def _finish(mine: HeldRun, model: Path, collecting: Collecting, *, attempts: int) -> None:
    """Scored, tracked and published, or, where that cannot be done in so many attempts, without."""
    run, facts = mine.run, manifest.read(model)
    if facts.get("dataset_hash") != run.dataset_hash:
        mine.fail("failed", "It was trained on other data than it was submitted with.")
        return
    metrics = _metrics(model)
    if metrics is None:
        mine.fail("failed", "Its metrics.json is not there, or cannot be read.")
        return
    if metrics.get("state") == STOPPED:
        mine.move("stop", metrics=_storable(metrics), manifest=_storable(facts))
        return
    version = None
    try:
        scored = {**metrics, **collecting.score(model, run)}
        collecting.track(model, run, scored)
        version = collecting.publish(model, run, scored)
    except PromptlyError as error:
        collecting.tell(f"Run {short(run.run_id)} is not done: {error.message}")
        if run.collections < attempts:
            return
        scored = {**metrics, "unfinished": error.message}
    mine.move(
        "publish" if version else "succeed",
        metrics=_storable(scored),
        manifest=_storable(facts),
        version=version,
    )


def _metrics(model: Path) -> dict[str, Any] | None:
    try:
        found = json.loads((model / "metrics.json").read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _storable(value: Any) -> Any:
    """Without what PostgreSQL does not keep: NUL, halves of characters, numbers that are none."""
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {_storable(str(name)): _storable(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(one) for one in value]
    return value
