"""Watched files stay up to date: the real watcher, real files, a real database."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import psycopg
import pytest
from numpy.typing import NDArray
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from model_pipeline.documents.split import Splitter
from model_pipeline.embedding.onnx_embedder import OnnxEmbedder
from model_pipeline.errors import InvalidInput
from model_pipeline.ingest import Ingest
from model_pipeline.store.connect import open_pool
from model_pipeline.store.pg_store import PgStore
from model_pipeline.watch import Applied, Watch

PATIENCE_S = 30.0


class Counting:
    """The real embedder, counting its texts."""

    def __init__(self, embedder: OnnxEmbedder) -> None:
        self.name, self.spec, self.dimensions = embedder.name, embedder.spec, embedder.dimensions
        self.max_tokens, self.count_tokens = embedder.max_tokens, embedder.count_tokens
        self._embedder = embedder
        self.texts = 0

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.texts += len(texts)
        return self._embedder.embed(texts)


class Watched:
    def __init__(self, database: str, counting: Counting) -> None:
        self.applied: list[Applied] = []
        self.counting = counting
        self._database = database

    def told(self) -> list[tuple[str, str]]:
        return [(one.event, Path(one.source).name) for one in self.applied]

    def until(self, *expected: tuple[str, str]) -> None:
        """Wait until all of `expected` was told, and forget it; nothing else may have been."""
        wait_until(lambda: set(expected) <= set(self.told()), self.told)
        assert sorted(self.told()) == sorted(expected)
        self.applied.clear()

    def stored(self) -> dict[str, str]:
        with psycopg.connect(self._database) as connection:
            rows = connection.execute(
                "select d.source, string_agg(c.content, '' order by c.ordinal) "
                "from documents as d join chunks as c using (document_id) group by 1"
            )
            return {Path(source).name: content.strip() for source, content in rows}


def wait_until(done: Callable[[], bool], tell: Callable[[], object] = lambda: "") -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < deadline, tell()
        time.sleep(0.02)


Following = Callable[..., AbstractContextManager[Watched]]


@pytest.fixture
def following(database: str, embedder: OnnxEmbedder) -> Iterator[Following]:
    """Ingests targets once, and follows them until the block is left."""

    @contextmanager
    def follow(*targets: Path | str) -> Iterator[Watched]:
        counting = Counting(embedder)
        watched = Watched(database, counting)
        splitter = Splitter(counting.count_tokens, max_tokens=counting.max_tokens)
        stop = threading.Event()
        with open_pool(database, min_size=1, max_size=3) as pool:
            watch = Watch(
                Ingest(PgStore(pool), counting, splitter),
                list(map(str, targets)),
                collection="c",
                tell=watched.applied.append,
            )
            watch.first(sync=False)
            counting.texts = 0
            failure: list[BaseException] = []

            def run() -> None:
                try:
                    watch.follow(stop)
                except BaseException as error:
                    failure.append(error)

            thread = threading.Thread(target=run)
            thread.start()
            try:
                yield watched
            finally:
                stop.set()
                thread.join()
            assert not failure

    yield follow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "docs"
    made.mkdir()
    for name in ("a", "b", "c"):
        (made / f"{name}.md").write_text(f"About {name}.\n")
    return made


def test_edits_new_files_renames_and_deletions(following: Following, folder: Path) -> None:
    with following(folder) as watched:
        (folder / "a.md").write_text("Rewritten.\n")
        watched.until(("changed", "a.md"))
        assert watched.stored()["a.md"] == "Rewritten."
        (folder / "deep" / "er").mkdir(parents=True)
        (folder / "deep" / "er" / "new.md").write_text("Fresh.\n")
        watched.until(("new", "new.md"))
        (folder / "b.md").rename(folder / "renamed.md")
        watched.until(("new", "renamed.md"), ("removed", "b.md"))
        (folder / "c.md").unlink()
        watched.until(("removed", "c.md"))
        (folder / "deep").rename(folder / "moved")
        watched.until(("new", "new.md"), ("removed", "new.md"))
        assert watched.stored() == {
            "a.md": "Rewritten.",
            "new.md": "Fresh.",
            "renamed.md": "About b.",
        }


def test_unchanged_files_cost_nothing(following: Following, folder: Path) -> None:
    with following(folder) as watched:
        (folder / "a.md").touch()
        (folder / "b.md").write_text("About b.\n")
        (folder / "c.md").write_text("Other.\n")
        watched.until(("changed", "c.md"))
        assert watched.counting.texts == 1


def test_what_editors_leave_and_hidden_files_are_passed_over(
    following: Following, folder: Path
) -> None:
    (folder / "node_modules").mkdir()
    with following(folder) as watched:
        for name in (".a.md.swp", "a.md~", "#a.md#", ".hidden.md", "4913", "node_modules/x.md"):
            (folder / name).write_text("Not a document.\n")
        # As an editor saves: the old one away, the new one in its place.
        (folder / "a.md").rename(folder / "a.md~")
        (folder / ".a.new").write_text("Saved.\n")
        (folder / ".a.new").rename(folder / "a.md")
        watched.until(("changed", "a.md"))
        (folder / "a.md~").unlink()
        (folder / "marker.md").write_text("Marker.\n")
        watched.until(("new", "marker.md"))
        assert set(watched.stored()) == {"a.md", "b.md", "c.md", "marker.md"}


def test_a_broken_file_is_told_once_and_taken_up_when_whole(
    following: Following, folder: Path
) -> None:
    with following(folder) as watched:
        (folder / "half.json").write_text('[{"id": "one", "text": "First."')
        (folder / "a.md").write_bytes(b"")
        watched.until(("failed", "half.json"), ("failed", "a.md"))
        (folder / "half.json").write_text('[{"id": "one", "text": "First."},')
        (folder / "b.md").write_text("Meanwhile.\n")
        watched.until(("changed", "b.md"))
        assert watched.stored()["a.md"] == "About a."
        (folder / "half.json").write_text('[{"id": "one", "text": "First."}]')
        (folder / "a.md").write_text("Whole again.\n")
        watched.until(("new", "half.json"), ("changed", "a.md"))
        assert watched.stored()["a.md"] == "Whole again."


def test_rows_that_a_file_no_longer_has_are_removed(following: Following, folder: Path) -> None:
    rows = folder / "rows.jsonl"
    rows.write_text('{"id": "r1", "text": "One."}\n{"id": "r2", "text": "Two."}\n')
    with following(folder) as watched:
        rows.write_text('{"id": "r2", "text": "Zwei."}\n')
        watched.until(("changed", "rows.jsonl"))
        assert "r1" not in watched.stored()
        assert watched.stored()["r2"] == "Zwei."
        rows.rename(folder / "again.jsonl")  # the same rows in another file: they stay
        watched.until(("removed", "rows.jsonl"))
        assert watched.stored()["r2"] == "Zwei."
        (folder / "again.jsonl").unlink()
        watched.until(("removed", "again.jsonl"))
        assert "r2" not in watched.stored()


def test_several_targets_of_each_kind(
    following: Following, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "single.md").write_text("Single.\n")
    (tmp_path / "more").mkdir()
    with following("docs", tmp_path / "single.md", "more/**/*.txt") as watched:
        (folder / "a.md").write_text("In the folder.\n")
        (tmp_path / "single.md").write_text("The file.\n")
        (tmp_path / "more" / "x").mkdir()
        (tmp_path / "more" / "x" / "y.txt").write_text("By the glob.\n")
        (tmp_path / "more" / "x" / "y.md").write_text("Not by the glob.\n")
        (tmp_path / "beside.md").write_text("Beside the file.\n")
        watched.until(("changed", "a.md"), ("changed", "single.md"), ("new", "y.txt"))
        (tmp_path / "more" / "x" / "y.txt").unlink()
        watched.until(("removed", "y.txt"))
        (tmp_path / "single.md").unlink()
        watched.until(("gone", "single.md"))  # as --sync does: named by itself, it is kept
        assert watched.stored()["single.md"] == "The file."
        assert "beside.md" not in watched.stored()


def test_a_folder_that_vanishes_keeps_what_is_stored(
    following: Following, folder: Path, tmp_path: Path
) -> None:
    with following(folder) as watched:
        shutil.copytree(folder, tmp_path / "copy")
        shutil.rmtree(folder)
        watched.until(("gone", "docs"))
        assert set(watched.stored()) == {"a.md", "b.md", "c.md"}
        (tmp_path / "copy" / "a.md").write_text("Changed elsewhere.\n")
        (tmp_path / "copy" / "b.md").unlink()
        (tmp_path / "copy").rename(folder)
        watched.until(("back", "docs"), ("changed", "a.md"), ("removed", "b.md"))
        (folder / "c.md").write_text("Followed again.\n")
        watched.until(("changed", "c.md"))


def test_an_empty_folder_in_its_place_removes_nothing(
    following: Following, folder: Path, tmp_path: Path
) -> None:
    """What is left of a disk that is no longer mounted."""
    with following(folder) as watched:
        (tmp_path / "empty").mkdir()
        folder.rename(tmp_path / "elsewhere")
        (tmp_path / "empty").rename(folder)
        watched.until(("gone", "docs"))
        assert set(watched.stored()) == {"a.md", "b.md", "c.md"}


def test_a_database_that_goes_away_loses_nothing(
    following: Following, folder: Path, database: str
) -> None:
    name = str(conninfo_to_dict(database)["dbname"])
    allow = sql.SQL("alter database {} allow_connections {}")
    with (
        following(folder) as watched,
        psycopg.connect(make_conninfo(database, dbname="postgres"), autocommit=True) as server,
    ):
        server.execute(allow.format(sql.Identifier(name), sql.SQL("false")))
        server.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (name,)
        )
        (folder / "a.md").write_text("While it was away.\n")
        watched.until(("waiting", ""))
        (folder / "b.md").unlink()
        server.execute(allow.format(sql.Identifier(name), sql.SQL("true")))
        watched.until(("resumed", ""), ("changed", "a.md"), ("removed", "b.md"))
        assert watched.stored() == {"a.md": "While it was away.", "c.md": "About c."}


def test_nothing_to_watch_is_said(following: Following) -> None:
    with pytest.raises(InvalidInput, match="give a file"), following("demo:python"):
        pass
