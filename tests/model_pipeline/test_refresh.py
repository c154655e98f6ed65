"""What a refresh makes of the web as it is today: new, changed, gone, and what only fails."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from model_pipeline.documents.split import Splitter
from model_pipeline.embedding.onnx_embedder import OnnxEmbedder
from model_pipeline.ingest import Ingest
from model_pipeline.store.connect import open_pool
from model_pipeline.store.pg_store import PgStore
from model_pipeline.store.queue import News, PgQueue
from model_pipeline.worker import Worked, Worker
from tests.servers.website import Website, website


class Refreshing:
    """A source, and a worker that refreshes it when told."""

    def __init__(
        self, pool: ConnectionPool[psycopg.Connection[Any]], embedder: OnnxEmbedder
    ) -> None:
        self._pool = pool
        store = PgStore(pool)
        store.register_embedder(embedder.name, embedder.dimensions)
        self.collection = store.ensure_collection("notes")
        self.queue = PgQueue(pool, store, uuid4())
        self.told: list[Worked] = []
        splitter = Splitter(embedder.count_tokens, max_tokens=embedder.max_tokens)
        self._worker = Worker(
            self.queue, News(""), Ingest(store, embedder, splitter), tell=self.told.append
        )

    def sql(self, statement: str, *arguments: object) -> list[tuple[Any, ...]]:
        with self._pool.connection() as connection:
            cursor = connection.execute(statement, arguments)
            return cursor.fetchall() if cursor.description else []

    def add(self, settings: dict[str, Any], *, trusted: bool = True) -> UUID:
        statement = (
            "insert into sources (collection_id, kind, settings, trusted) "
            "values (%s, 'web', %s, %s) returning source_id"
        )
        source: UUID = self.sql(statement, self.collection, Jsonb(settings), trusted)[0][0]
        return source

    def now(self) -> Worked:
        self.sql("select ask_for_refresh(array(select source_id from sources))")
        job = self.queue.claim_source()
        assert job is not None
        self._worker._refresh_one(job)
        return self.told[-1]

    def documents(self) -> dict[str, str]:
        return dict(
            self.sql(
                "select regexp_replace(source, '.*/', ''), c.content "
                "from documents join chunks as c using (document_id) order by 1"
            )
        )


@pytest.fixture
def refreshing(database: str, embedder: OnnxEmbedder) -> Iterator[Refreshing]:
    with open_pool(database, min_size=1, max_size=4) as pool:
        yield Refreshing(pool, embedder)


@pytest.fixture
def site() -> Iterator[Website]:
    with website() as made:
        yield made


def test_a_sitemaps_pages_come_change_fail_and_go(refreshing: Refreshing, site: Website) -> None:
    site.sitemap("/sitemap.xml", "/a", "/b", "/c", "/d")
    for name in "abcd":
        site.put(f"/{name}", f"<p>Page {name}.</p>")
    refreshing.add({"sitemap": f"{site.url}/sitemap.xml"})
    assert refreshing.now() == Worked("refreshed", refreshing.told[-1].name, 4)
    assert refreshing.documents() == {name: f"Page {name}." for name in "abcd"}

    site.put("/a", "<p>Page a, anew.</p>")
    site.put("/b", "Later.", status=500)  # fails: what is stored stays
    del site.pages["/c"]  # 404: gone
    site.sitemap("/sitemap.xml", "/a", "/b", "/c", "/e")  # d is listed no more
    site.put("/e", "<p>Page e.</p>")
    assert refreshing.now().event == "refreshed"
    assert refreshing.documents() == {"a": "Page a, anew.", "b": "Page b.", "e": "Page e."}
    result = refreshing.sql("select last_result from sources")[0][0]
    counts = {name: result[name] for name in ("new", "changed", "unchanged", "removed", "failed")}
    assert counts == {"new": 1, "changed": 1, "unchanged": 0, "removed": 2, "failed": 2}
    assert {one["reason"] for one in result["failures"]} == {
        f"{site.url}/b answered 500.",
        f"{site.url}/c answered 404.",
    }


def test_a_sitemap_that_fails_removes_nothing_and_is_tried_again(
    refreshing: Refreshing, site: Website
) -> None:
    site.sitemap("/sitemap.xml", "/a")
    site.put("/a", "<p>Page a.</p>")
    refreshing.add({"sitemap": f"{site.url}/sitemap.xml"})
    refreshing.now()
    for status, body in ((500, "oh"), (404, "gone"), (200, "<html>Sign in"), (200, "<urlset/>")):
        site.put("/sitemap.xml", body, status=status)
        assert refreshing.now().event == "failed"
        assert refreshing.documents() == {"a": "Page a."}
    (job,) = refreshing.sql("select reason, dead_at, due_at > now() from jobs")
    assert job == (f"{site.url}/sitemap.xml is no sitemap: it has no <urlset> or <sitemapindex>.",
                   None, True)  # fmt: skip


def test_what_a_user_added_reads_nothing_of_this_machine(
    refreshing: Refreshing, site: Website
) -> None:
    site.put("/secret", "<p>A secret.</p>")
    refreshing.add({"urls": [f"{site.url}/secret"]}, trusted=False)
    failed = refreshing.now()
    assert failed.event == "failed" and "in a private network" in str(failed.reason)
    assert (site.asked, refreshing.documents()) == ([], {})


def test_a_source_removed_while_it_is_refreshed_leaves_nothing(
    refreshing: Refreshing, site: Website
) -> None:
    urls = [f"{site.url}/{n}" for n in range(3)]
    for n in range(3):
        site.put(f"/{n}", f"<p>Page {n}.</p>")
    source = refreshing.add({"urls": urls})
    job = refreshing.queue.claim_source()
    assert job is not None and job.source_id == source
    refreshing.sql("delete from sources")
    refreshing._worker._refresh_one(job)
    assert refreshing.documents() == {}
    assert refreshing.sql("select count(*) from documents") == [(0,)]
    assert refreshing.sql("select count(*) from jobs") == [(0,)]
