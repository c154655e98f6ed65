"""`promptly search` and `promptly ask`: the service's own way, without the service."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.markup import escape
from rich.panel import Panel

from model_pipeline.domain import Answer, Passage, SearchMode, SearchResult
from model_pipeline.store.pg_store import PgStore
from promptly import bootstrap
from promptly.cli.output import CollectionOption, JsonFlag, out, parse_filter, print_json, safe
from promptly.settings import read_settings
from rag_service.generate.factory import EXTRACTIVE

if TYPE_CHECKING:
    from promptly.serving import Answering

Result = TypeVar("Result")
KOption = Annotated[int, typer.Option("--k", help="How many passages.", min=1, max=100)]
ModeOption = Annotated[SearchMode, typer.Option("--mode", help="hybrid, dense or lexical.")]
FilterOption = Annotated[
    str | None,
    typer.Option("--filter", help='Only chunks whose metadata match, e.g. \'{"lang": "en"}\'.'),
]


def _run(use: Callable[[Answering], Awaitable[Result]], *, generating: bool) -> Result:
    from promptly import serving  # takes time to import, and few commands need it

    settings = read_settings()
    if not generating:  # a search needs no language model
        settings = settings.model_copy(update={"generator": EXTRACTIVE})

    async def run(conninfo: str, store: PgStore) -> Result:
        async with serving.answering(settings, conninfo, store) as parts:
            return await use(parts)

    with bootstrap.database(settings) as conninfo, bootstrap.open_store(conninfo) as store:
        return asyncio.run(run(conninfo, store))


def search(
    query: Annotated[str, typer.Argument(help="What to look for.")],
    collection: CollectionOption = None,
    k: KOption = 10,
    mode: ModeOption = "hybrid",
    filter: FilterOption = None,
    diversity: Annotated[
        float | None, typer.Option(help="0 to 1: trade relevance for variety.", min=0, max=1)
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Find the passages nearest to a query."""
    wanted = parse_filter(filter)

    async def use(parts: Answering) -> SearchResult:
        return await parts.retriever.retrieve(
            query, k=k, mode=mode, collection=collection, filter=wanted, diversity=diversity
        )

    result = _run(use, generating=False)
    if as_json:
        print_json(result)
        return
    if not result.passages:
        out.print("Nothing was found.")
    for rank, passage in enumerate(result.passages, start=1):
        out.print(f"[bold]{rank}. {escape(_where(passage))}[/bold]  [dim]{passage.score:.4f}[/dim]")
        out.print(escape(safe(_excerpt(passage.content))), highlight=False)
    if not result.complete:
        out.print("[yellow]The search stopped early: more passages may match.[/yellow]")


def ask(
    question: Annotated[str, typer.Argument(help="A question for your documents.")],
    collection: CollectionOption = None,
    k: KOption = 5,
    filter: FilterOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Answer a question from the documents, with checked citations."""
    wanted = parse_filter(filter)

    async def use(parts: Answering) -> Answer:
        return await parts.answerer.answer(question, k=k, collection=collection, filter=wanted)

    answer = _run(use, generating=True)
    if as_json:
        print_json(answer)
        return
    out.print(
        Panel(escape(safe(answer.answer)), border_style="yellow" if answer.declined else "green")
    )
    for citation in answer.citations:
        place = " > ".join(citation.heading_path) or citation.title
        out.print(
            f"[bold]\\[{citation.n}][/bold] {escape(safe(citation.source))} · {escape(safe(place))}"
        )
        out.print(f"    [dim]“{escape(safe(_excerpt(citation.quote)))}”[/dim]", highlight=False)
    for span in answer.unsupported:
        said = _excerpt(answer.answer[span.start : span.end], 100)
        out.print(f"[yellow]No passage says:[/yellow] “{escape(safe(said))}”", highlight=False)
    if answer.fallback:
        out.print(f"[yellow]{escape(safe(answer.fallback))}[/yellow]", highlight=False)
    if answer.bias and answer.bias.flagged and not answer.bias.withheld:
        told = f"of level {answer.bias.level}" if answer.bias.level else "that cannot be judged"
        out.print(f"[yellow]The judge of bias flags it as {told}.[/yellow]", highlight=False)


def _where(passage: Passage) -> str:
    heading = " > ".join(passage.heading_path) or passage.title
    return safe(f"{passage.source} · {heading}" if heading else passage.source)


def _excerpt(text: str, limit: int = 300) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"
