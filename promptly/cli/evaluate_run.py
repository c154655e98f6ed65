"""`promptly evaluate TESTSET`: a release's answers to a test set, scored."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Column, Table
from typer.core import TyperGroup

from model_pipeline.errors import InvalidInput
from model_pipeline.evaluation import run as running
from model_pipeline.evaluation.examples import Prediction, TestSet
from model_pipeline.evaluation.predictions import prediction_log, read_predictions
from model_pipeline.evaluation.rows import read_examples
from promptly import bootstrap
from promptly.cli.bad_input import bad_input_tells
from promptly.cli.interrupt import be_interruptible
from promptly.cli.judge import JudgeOption, open_judge
from promptly.cli.output import CollectionOption, JsonFlag, log_errors_alone, out, print_json, say
from promptly.cli.progress import bar
from promptly.evaluating import Evaluating, active_release, evaluating
from promptly.settings import Settings, read_settings

if TYPE_CHECKING:
    from model_pipeline.evaluation.scorecard import Scorecard
    from model_pipeline.evaluation.tracking import Tracker
    from promptly.judging import Judge

EXIT_FAILURES = 1
SHOWN = 20


class RunByDefault(TyperGroup):
    """`evaluate NAME` is `evaluate run NAME`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["run", *args]
        return super().parse_args(ctx, args)


def run(
    test_set: Annotated[
        str, typer.Argument(metavar="TESTSET", help="A name, NAME@v2, or a JSONL file.")
    ],
    collection: CollectionOption = None,
    k: Annotated[int, typer.Option("--k", help="Passages of an answer.", min=1, max=100)] = 5,
    predictions: Annotated[
        Path | None,
        typer.Option(help="Score these answers, made elsewhere: JSONL with id and answer."),
    ] = None,
    release: Annotated[
        str | None, typer.Option(help="With --predictions: whose answers they are.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the resampling.")] = 0,
    folder: Annotated[
        Path | None, typer.Option("--out", help="Where to write; by default under PROMPTLY_HOME.")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Ask anew what an earlier run has answered or graded.")
    ] = False,
    at_once: Annotated[
        int, typer.Option(min=1, max=256, help="Questions under way at a time.")
    ] = 1,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds that an answer, or a grade, may take.")
    ] = 60,
    max_failures: Annotated[
        int, typer.Option(min=0, help="Examples that may fail before the exit status is 1.")
    ] = 0,
    perplexity_model: Annotated[
        str | None,
        typer.Option(help="Perplexity too, by this model: a folder, or <repository>@<commit>."),
    ] = None,
    judge: JudgeOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Answer a test set by the release that is set, and score the answers.

    Stopped or killed, the same command goes on. Exit status: 0 scored, 1 scored with more failures
    than --max-failures, 2 bad input or a wrong setting, 4 a service does not answer.
    """
    be_interruptible()
    log_errors_alone()
    with bad_input_tells():
        settings = read_settings()
        with evaluating(settings) as opened:
            examples = _test_set(opened, test_set)
            measuring = _Measuring(
                seed, perplexity_model, open_judge(settings, judge, timeout), fresh
            )
            measuring.require()
            tracker = _tracker(settings)
            if predictions:
                answered = _made_elsewhere(settings, examples, predictions, release, folder)
            else:
                asking = _Asking(collection, k, folder, fresh, at_once, timeout, hidden=as_json)
                answered = asyncio.run(_ask(settings, opened, examples, asking))
            card = _scored(settings, opened, examples, answered, measuring, hidden=as_json)
            files = _write(card, answered.folder)
            opened.records.keep_scorecard(
                card.release_id, card.test_set_hash, files["scorecard"].read_text("ascii")
            )
    from model_pipeline.evaluation.failed import failures

    failed = failures(card)
    (_tell_json if as_json else _tell)(card, files, failed)
    _track(tracker, examples, card, files)
    if len({one for ids in failed.values() for one in ids}) > max_failures:
        raise typer.Exit(EXIT_FAILURES)


@dataclass(frozen=True, slots=True)
class _Asking:
    collection: str | None
    k: int
    folder: Path | None
    fresh: bool
    at_once: int
    timeout_s: float
    hidden: bool


@dataclass(frozen=True, slots=True)
class _Measuring:
    """By what, beside the metrics that need no model."""

    seed: int
    perplexity_model: str | None
    judge: Judge | None
    fresh: bool

    def require(self) -> None:
        """What is wrong is told before anything is asked. Raises ConfigurationError."""
        if self.perplexity_model:
            from promptly.measuring import require_weights

            require_weights(self.perplexity_model)


@dataclass(frozen=True, slots=True)
class _Answered:
    """Whose answers these are, by what settings, since when, and where they lie."""

    predictions: list[Prediction]
    release_id: str
    params: dict[str, str | int | float | bool | None]
    made_at: str | None
    folder: Path


def _test_set(opened: Evaluating, name: str) -> TestSet:
    path = Path(name)
    if path.suffix in (".jsonl", ".json", ".ndjson"):
        return TestSet(path.stem, read_examples(path))
    return opened.test_sets.load(name).test_set


def _made_elsewhere(
    settings: Settings, test_set: TestSet, path: Path, release: str | None, folder: Path | None
) -> _Answered:
    found, told = read_predictions(path)
    name = release or told or path.stem
    key = _key(test_set.content_hash(), name, hashlib.sha256(path.read_bytes()).hexdigest())
    folder = folder or settings.evaluations_dir / test_set.name / key
    return _Answered(found, name, {"predictions": path.name}, None, folder)


async def _ask(
    settings: Settings, opened: Evaluating, test_set: TestSet, asking: _Asking
) -> _Answered:
    """Goes on where an earlier run of the same stopped."""
    collection, k = asking.collection, asking.k
    async with active_release(settings, opened, collection=collection, k=k) as release:
        head = {
            "release_id": release.release_id,
            "test_set_hash": test_set.content_hash(),
            "collection": collection,
            "k": k,
            "documents": await release.documents(),
        }
        key = _key(*(str(value) for value in head.values()))
        folder = asking.folder or settings.evaluations_dir / test_set.name / key
        path = folder / "predictions.jsonl"
        if asking.fresh:
            path.unlink(missing_ok=True)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with (
            prediction_log(path, head, started_at=now) as log,
            bar(hidden=asking.hidden) as tell,
        ):
            found = await running.predict(
                test_set, release.answer, log, at_once=asking.at_once, timeout_s=asking.timeout_s,
                progress=lambda done, of: tell("answers", done, of),
            )  # fmt: skip
    del head["release_id"], head["test_set_hash"]
    params = head | {"at_once": asking.at_once, "timeout_s": asking.timeout_s}
    return _Answered(found, release.release_id, params, log.started_at, folder)


def _key(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


def _scored(
    settings: Settings,
    opened: Evaluating,
    test_set: TestSet,
    answered: _Answered,
    by: _Measuring,
    *,
    hidden: bool,
) -> Scorecard:
    from model_pipeline.evaluation.scorecard import score  # these take time to import
    from promptly.measuring import measure

    pairs = running.pairs(test_set, answered.predictions)
    embedder = bootstrap.in_use(settings, opened.store).current
    with bar(hidden=hidden) as tell:
        measured = measure(
            pairs, settings, embedder, model=by.perplexity_model, judge=by.judge, fresh=by.fresh,
            tell=tell,
        )  # fmt: skip
    return score(
        test_set, pairs, measured, release_id=answered.release_id, seed=by.seed,
        params=answered.params, made_at=answered.made_at,
    )  # fmt: skip


def _write(card: Scorecard, folder: Path) -> dict[str, Path]:
    from model_pipeline.evaluation import report, scorecard_file

    files = {
        "scorecard": folder / "scorecard.json",
        "html": folder / "report.html",
        "markdown": folder / "report.md",
    }
    try:
        scorecard_file.write(card, files["scorecard"])
        files["html"].write_text(report.html(card), "utf-8", "replace", newline="\n")
        files["markdown"].write_text(report.markdown(card), "utf-8", "replace", newline="\n")
    except OSError as error:
        raise InvalidInput(f"{folder} cannot be written: {error.strerror}.") from error
    return files


def _tracker(settings: Settings) -> Tracker:
    from model_pipeline.evaluation.tracking import open_tracker

    return open_tracker(settings.tracking_uri)


def _track(tracker: Tracker, test_set: TestSet, card: Scorecard, files: dict[str, Path]) -> None:
    from model_pipeline.evaluation.tracking import Evaluated

    metrics = {name: figure.value for name, figure in card.figures.items()}
    params = {**card.params, "seed": card.seed, "draws": card.draws}
    tracker.keep(Evaluated(card.release_id, test_set, metrics, params, tuple(files.values())))


def _tell(card: Scorecard, files: dict[str, Path], failed: dict[str, list[str]]) -> None:
    from model_pipeline.evaluation import wording

    right = [Column(name, justify="right") for name in ("", "95 % interval", "n", "not scored")]
    table = Table("metric", *right)
    for one in card.measured:
        figure = card.figures[one.name]
        table.add_row(
            wording.label(one.name),
            wording.number(one.name, figure.value),
            wording.between(one.name, figure.interval),
            str(figure.n),
            str(len(one.failures) or ""),
        )
    out.print(table)
    for name, ids in list(failed.items())[:SHOWN]:
        more = f" and {len(ids) - 3} more" if ids[3:] else ""
        say(f"failed: {name} ({len(ids)}: {', '.join(ids[:3])}{more})")
    if len(failed) > SHOWN:
        say(f"... and {len(failed) - SHOWN} other failures, all in the report.")
    say(f"{card.release_id} on {card.test_set}, {len(card.rows)} examples.")
    say(f"Report: {files['html']}")


def _tell_json(card: Scorecard, files: dict[str, Path], failed: dict[str, list[str]]) -> None:
    figures = {
        name: {
            "value": _finite(figure.value),
            "low": _finite(figure.interval.low),
            "high": _finite(figure.interval.high),
            "n": figure.n,
        }
        for name, figure in card.figures.items()
    }
    counted = [{"name": name, "count": len(ids), "ids": ids} for name, ids in failed.items()]
    print_json(
        {
            "release_id": card.release_id,
            "test_set": card.test_set,
            "test_set_hash": card.test_set_hash,
            "n": len(card.rows),
            "failed": len({one for ids in failed.values() for one in ids}),
            "failures": counted,
            "figures": figures,
            "files": {name: str(path) for name, path in files.items()},
        }
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
