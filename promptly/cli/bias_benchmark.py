"""`promptly bias benchmark`: the published measures, on any generator or on the search."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer
from rich.table import Column, Table

from model_pipeline.errors import InvalidInput
from promptly.bias_judges import open_judge
from promptly.cli.bad_input import bad_input_tells
from promptly.cli.bias_validate import JudgeOption
from promptly.cli.interrupt import be_interruptible
from promptly.cli.output import JsonFlag, log_errors_alone, out, print_json, say, write_files
from promptly.cli.progress import bar
from promptly.settings import Settings, read_settings

if TYPE_CHECKING:
    from bias.benchmarks.results import Result
    from bias.benchmarks.suite import Benchmark
    from model_pipeline.evaluation.examples import Prediction

Name = Literal["bbq", "winobias", "winogender", "honest", "grep-biasir"]
EXIT_FAILURES = 1


def benchmark(
    name: Annotated[Name, typer.Argument(help=f"One of {', '.join(get_args(Name))}.")],
    data: Annotated[Path, typer.Option(help="The benchmark's own folder: it is not shipped.")],
    n: Annotated[int | None, typer.Option("--n", min=1, help="A sample of about so many.")] = None,
    generator: Annotated[str | None, typer.Option(help="In place of PROMPTLY_GENERATOR.")] = None,
    lexicon: Annotated[
        Path | None, typer.Option(help="honest: HurtLex, or a list of hurtful words.")
    ] = None,
    judge: JudgeOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Of sample and resampling.")] = 0,
    folder: Annotated[
        Path | None, typer.Option("--out", help="Where to write; by default under PROMPTLY_HOME.")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Ask anew what an earlier run has answered.")
    ] = False,
    at_once: Annotated[int, typer.Option(min=1, max=256, help="Items under way at a time.")] = 1,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that a reply may take.")] = 60,
    as_json: JsonFlag = False,
) -> None:
    """Measure a generator by BBQ, WinoBias, Winogender or HONEST, or the search by Grep-BiasIR.

    Stopped or killed, the same command goes on. Exit status: 0 measured, 1 measured but some items
    failed, 2 bad input.
    """
    from bias.benchmarks import suite
    from bias.benchmarks.honest import read_lexicon

    settings = read_settings()
    if generator:
        settings = settings.model_copy(update={"generator": generator})
    be_interruptible()
    log_errors_alone()
    with bad_input_tells():
        if not data.is_dir():
            raise InvalidInput(f"There is no folder {data}: give --data the benchmark's folder.")
        if name == "grep-biasir":
            result, place = asyncio.run(_searched(settings, data, seed, folder, hidden=as_json))
            errors = 0
        else:
            words = read_lexicon(lexicon) if lexicon else None
            judged = name == "honest" and words is None
            whom = open_judge(judge or (), settings) if judged else None
            one = suite.open_benchmark(name, data, n=n, seed=seed, lexicon=words, judge=whom)
            asking = _ask(settings, one, seed, folder, fresh, at_once, timeout, hidden=as_json)
            asked, method, replies, place = asyncio.run(asking)
            result = one.result(replies, generator=asked, method=method, seed=seed)
            errors = sum(reply.error is not None for reply in replies.values())
        files = _write(result, place)
    (_tell_json if as_json else _tell)(result, files)
    if errors:
        raise typer.Exit(EXIT_FAILURES)


async def _ask(
    settings: Settings,
    one: Benchmark,
    seed: int,
    folder: Path | None,
    fresh: bool,
    at_once: int,
    timeout_s: float,
    *,
    hidden: bool,
) -> tuple[str, str, Mapping[str, Prediction], Path]:
    """The generator's name, how it was asked, its replies and where they lie. Goes on where an
    earlier run of the same stopped."""
    from bias.benchmarks.items import PROMPT
    from model_pipeline.evaluation import run as running
    from model_pipeline.evaluation.examples import Example
    from promptly.probing import asked_generator, going_on, key_of

    test_set = one.test_set()
    by_id = {item.item_id: item for item in one.items}
    async with asked_generator(settings, completing=one.completing) as asked:

        async def answer(example: Example) -> Prediction:
            return await asked.ask(by_id[example.example_id])

        head = {
            "release_id": asked.name,
            "method": asked.method,
            "benchmark": one.name,
            "prompt": PROMPT,
            "test_set_hash": test_set.content_hash(),
        }
        place = folder or settings.home / "bias" / one.name / key_of(head)
        with (
            going_on(place / "replies.jsonl", head, fresh=fresh) as log,
            bar(hidden=hidden) as tell,
        ):
            replies = await running.predict(
                test_set, answer, log, at_once=at_once, timeout_s=timeout_s,
                progress=lambda done, of: tell(one.name, done, of),
            )  # fmt: skip
    return asked.name, asked.method, {reply.example_id: reply for reply in replies}, place


async def _searched(
    settings: Settings, data: Path, seed: int, folder: Path | None, *, hidden: bool
) -> tuple[Result, Path]:
    """A search takes milliseconds: it is done anew each time."""
    from bias.benchmarks import grep_biasir
    from bias.benchmarks.results import Figure, Result
    from model_pipeline.domain import SearchMode
    from promptly.probing import key_of, scratch_search

    documents = grep_biasir.read(data)
    asked = grep_biasir.queries(documents)
    modes = get_args(SearchMode)
    figures: list[Figure] = []
    async with scratch_search(settings, documents) as (embedder, search):
        with bar(hidden=hidden) as tell:
            for at, mode in enumerate(modes):
                rankings = {}
                for done, query in enumerate(asked, 1):
                    rankings[query] = await search(query, mode)
                    tell(mode, at * len(asked) + done, len(modes) * len(asked))
                figures += grep_biasir.score(documents, rankings, mode=mode, seed=seed)
    head = {"embedder": embedder, "documents": [one.document_id for one in documents]}
    place = folder or settings.home / "bias" / "grep-biasir" / key_of(head)
    return Result(
        "Grep-BiasIR", embedder, "search of a scratch store", len(documents), seed, tuple(figures)
    ), place  # fmt: skip


def _write(result: Result, folder: Path) -> dict[str, Path]:
    from bias.benchmarks.results import as_object, markdown

    body = json.dumps(as_object(result), indent=1, sort_keys=True) + "\n"
    made = write_files(folder, {"result.json": body, "result.md": markdown(result)})
    return {"json": made["result.json"], "markdown": made["result.md"]}


def _tell(result: Result, files: dict[str, Path]) -> None:
    from bias.benchmarks.results import between, shown

    right = [Column(name, justify="right") for name in ("", "95 % interval", "n")]
    table = Table("figure", "of", *right)
    for one in result.figures:
        table.add_row(one.name, one.of, shown(one.value), between(one.low, one.high), str(one.n))
    out.print(table)
    for why, count in result.failures.items():
        say(f"not scored: {why} ({count})")
    for note in result.notes:
        say(note)
    say(f"{result.benchmark}: {result.n} items, {result.generator}, by {result.method}.")
    say(f"Report: {files['markdown']}")


def _tell_json(result: Result, files: dict[str, Path]) -> None:
    from bias.benchmarks.results import as_object

    told: dict[str, Any] = {name: str(path) for name, path in files.items()}
    print_json({**as_object(result), "files": told})
