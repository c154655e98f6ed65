"""`promptly documents`: what the store holds."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer
from rich.markup import escape
from rich.table import Column, Table

from promptly import bootstrap
from promptly.cli.output import CollectionOption, JsonFlag, out, print_json, safe
from promptly.settings import read_settings

app = typer.Typer(help="The documents in the store.", no_args_is_help=True)
DocumentId = Annotated[UUID, typer.Argument(help="A document's id, as `documents list` shows it.")]


@app.command("list")
def list_(
    collection: CollectionOption = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 100,
    after: Annotated[UUID | None, typer.Option(help="Go on after this document's id.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """List documents."""
    with bootstrap.store(read_settings()) as store:
        found = store.list_documents(collection=collection, limit=limit, after=after)
    if as_json:
        print_json({"documents": found})
        return
    table = Table(Column("id", min_width=36), "collection", "source", "title", "chunks")
    for item in found:
        table.add_row(
            str(item.document_id),
            escape(safe(item.collection)),
            escape(safe(item.source)),
            escape(safe(item.title)),
            str(item.chunk_count),
        )
    out.print(table)
    if len(found) == limit:
        out.print(f"[dim]More: --after {found[-1].document_id}[/dim]")


@app.command()
def show(document_id: DocumentId, as_json: JsonFlag = False) -> None:
    """Show one document with its chunks."""
    with bootstrap.store(read_settings()) as store:
        summary, chunks = store.get_document(document_id)
    if as_json:
        print_json({"document": summary, "chunks": chunks})
        return
    out.print(f"[bold]{escape(safe(summary.title or summary.source))}[/bold]")
    out.print(f"[dim]{escape(safe(summary.source))} · {summary.chunk_count} chunks[/dim]\n")
    out.print(escape(safe("".join(chunk.content for chunk in chunks))), highlight=False)


@app.command()
def delete(document_id: DocumentId, as_json: JsonFlag = False) -> None:
    """Delete one document with its chunks."""
    with bootstrap.store(read_settings()) as store:
        store.delete_document(document_id)
    if as_json:
        print_json({"deleted": document_id})
    else:
        out.print(f"Deleted {document_id}.")
