"""Files to searchable chunks: what is new, changed, unchanged, gone, broken."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from model_pipeline.documents.split import Splitter
from model_pipeline.embedding.onnx_embedder import OnnxEmbedder
from model_pipeline.errors import EmbedderMismatch
from model_pipeline.ingest import Ingest, IngestSummary
from model_pipeline.store.connect import open_pool
from model_pipeline.store.pg_store import PgStore


@pytest.fixture
def ingest(database: str, embedder: OnnxEmbedder) -> Iterator[Ingest]:
    with open_pool(database, min_size=1, max_size=3) as pool:
        splitter = Splitter(embedder.count_tokens, max_tokens=embedder.max_tokens)
        yield Ingest(PgStore(pool), embedder, splitter)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "docs"
    made.mkdir()
    for name in ("a", "b", "c"):
        (made / f"{name}.md").write_text(f"# {name}\n\nAbout {name}.\n")
    return made


def counts(summary: IngestSummary) -> tuple[int, int, int, int, int]:
    return summary.new, summary.changed, summary.unchanged, summary.removed, summary.failed


def stored(database: str) -> dict[str, str]:
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            "select d.source, string_agg(c.content, '' order by c.ordinal) "
            "from documents as d join chunks as c using (document_id) group by 1"
        )
        return {Path(source).name: content for source, content in rows}


def test_only_what_changed_is_done_again(ingest: Ingest, folder: Path, database: str) -> None:
    assert counts(ingest.run([str(folder)], collection="c")) == (3, 0, 0, 0, 0)
    again = ingest.run([str(folder)], collection="c")
    assert counts(again) == (0, 0, 3, 0, 0)
    assert again.chunks == 0
    (folder / "b.md").write_text("# b\n\nSomething else.\n")
    assert counts(ingest.run([str(folder)], collection="c")) == (0, 1, 2, 0, 0)
    assert stored(database)["b.md"] == "# b\n\nSomething else.\n"


def test_sync_removes_what_vanished_and_only_that(
    ingest: Ingest, folder: Path, tmp_path: Path, database: str
) -> None:
    other = tmp_path / "other.md"
    other.write_text("Elsewhere.")
    ingest.run([str(folder), str(other)], collection="c")
    (folder / "a.md").unlink()
    assert counts(ingest.run([str(folder)], collection="c")) == (0, 0, 2, 0, 0)
    assert counts(ingest.run([str(folder)], collection="c", sync=True)) == (0, 0, 2, 1, 0)
    assert set(stored(database)) == {"b.md", "c.md", "other.md"}


def test_sync_keeps_what_is_only_unreadable_today(
    ingest: Ingest, folder: Path, database: str
) -> None:
    ingest.run([str(folder)], collection="c")
    (folder / "a.md").write_bytes(b"")
    assert counts(ingest.run([str(folder)], collection="c", sync=True)) == (0, 0, 2, 0, 1)
    assert "a.md" in stored(database)


def test_sync_keeps_everything_when_the_folder_is_gone(
    ingest: Ingest, folder: Path, database: str
) -> None:
    ingest.run([str(folder)], collection="c")
    folder.rename(folder.with_name("moved"))
    summary = ingest.run([str(folder)], collection="c", sync=True)
    assert counts(summary) == (0, 0, 0, 0, 1)
    assert len(stored(database)) == 3


def test_a_broken_file_stops_no_other(ingest: Ingest, folder: Path) -> None:
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 cut off")
    summary = ingest.run([str(folder)], collection="c")
    assert counts(summary) == (3, 0, 0, 0, 1)
    ((source, reason),) = summary.failures
    assert source.endswith("broken.pdf")
    assert "damaged" in reason


def test_a_source_named_twice_is_taken_once(ingest: Ingest, folder: Path) -> None:
    summary = ingest.run([str(folder), str(folder / "a.md")], collection="c")
    assert counts(summary) == (3, 0, 0, 0, 0)


def test_progress_is_told(ingest: Ingest, folder: Path) -> None:
    told: list[IngestSummary] = []
    ingest.run([str(folder)], collection="c", progress=told.append)
    assert told[-1].new == 3


def test_vectors_of_another_embedder_are_refused(
    ingest: Ingest, folder: Path, database: str
) -> None:
    ingest.run([str(folder)], collection="c")
    with psycopg.connect(database) as connection:
        connection.execute("update embedder set name = 'another'")
    with pytest.raises(EmbedderMismatch, match="another"):
        ingest.run([str(folder)], collection="c")
