"""Sources and jobs as their callers see and change them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from model_pipeline.domain import Caller
from model_pipeline.errors import Conflict, Forbidden, InvalidInput, NotFound
from model_pipeline.store.pg_store import PgStore
from model_pipeline.store.sources import PgSources

PAGES = {"urls": ["https://example.org/a", "https://example.org/b"]}
FILES = {"paths": ["/srv/handbook"]}
As = Callable[[UUID | None], PgSources]


@pytest.fixture
def acting(pool: ConnectionPool[psycopg.Connection[Any]]) -> As:
    """As a person, or as the service's operator."""

    def make(person: UUID | None) -> PgSources:
        claims = {"sub": str(person), "role": "authenticated"}
        return PgSources(PgStore(pool, Caller("authenticated", claims) if person else None))

    return make


@pytest.fixture
def sql(database: str) -> Any:
    def run(statement: str, *arguments: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(database, autocommit=True) as connection:
            cursor = connection.execute(statement, arguments or None)
            return cursor.fetchall() if cursor.description else []

    return run


def every(store: PgSources, collection: str | None = None) -> list[str]:
    return [one.name for one in store.sources(collection=collection, limit=100, after=None)]


def test_each_sees_their_own_and_only_the_operators_are_trusted(acting: As) -> None:
    ada, bob = uuid4(), uuid4()
    hers = acting(ada).add_source("notes", "web", PAGES, refresh_every=timedelta(hours=1))
    assert (hers.trusted, hers.refresh_every_s, hers.state) == (False, 3600, "waiting")
    assert hers.name == "https://example.org/a and 1 more"
    mine = acting(None).add_source("operated", "files", FILES)
    assert mine.trusted
    assert every(acting(ada)) == [hers.name]
    assert every(acting(bob)) == []
    assert sorted(every(acting(None))) == sorted([hers.name, "/srv/handbook"])
    assert [job.name for job in page(acting(ada))] == [hers.name]
    assert page(acting(bob)) == []
    for act in (acting(bob).refresh_source, acting(bob).remove_source):
        with pytest.raises(NotFound, match="There is no source"):
            act(hers.source_id)
    with pytest.raises(NotFound, match="There is no job"):
        acting(bob).retry_job(hers.job_id or 0)


def page(store: PgSources, **given: Any) -> list[Any]:
    return store.jobs(**{"collection": None, "state": None, "limit": 100, "after": 0, **given})


def test_readers_see_none_and_editors_do_all_but_what_is_the_operators(
    acting: As, sql: Any
) -> None:
    ada, bob, eve = uuid4(), uuid4(), uuid4()
    hers = acting(ada).add_source("notes", "web", PAGES)
    for person, role in ((bob, "editor"), (eve, "reader")):
        sql(
            "insert into members (collection_id, user_id, role) "
            "select collection_id, %s, %s from collections",
            person,
            role,
        )
    files = sql(
        "insert into sources (collection_id, kind, settings) select collection_id, 'files', "
        """'{"paths": ["/srv"]}' from collections returning source_id"""
    )[0][0]
    assert every(acting(eve)) == []
    with pytest.raises(NotFound):
        acting(eve).refresh_source(hers.source_id)
    assert sorted(every(acting(bob))) == sorted(["/srv", hers.name])
    acting(bob).refresh_source(files)
    with pytest.raises(Forbidden, match="/srv was added by the service's operator"):
        acting(bob).remove_source(files)
    with pytest.raises(Forbidden, match="Only web pages can be added here"):
        acting(bob).add_source("notes", "files", FILES)
    assert acting(bob).remove_source(hers.source_id) == 0
    assert sql("select count(*) from sources") == [(1,)]


def test_nobody_says_by_themselves_that_they_are_trusted(acting: As, sql: Any) -> None:
    ada = uuid4()
    acting(ada).add_source("notes", "web", PAGES)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        sql("select set_config('role', 'authenticated', false); update sources set trusted = true")


@pytest.mark.parametrize(
    ("kind", "settings", "said"),
    [
        ("files", {}, "needs \"paths\""),
        ("files", {"paths": []}, "needs \"paths\""),
        ("files", {"paths": ["docs"]}, "must be absolute"),
        ("files", {"paths": ["/a"], "urls": ["x"]}, "no other settings than paths, fields"),
        ("web", {}, "either \"sitemap\""),
        ("web", {"sitemap": "http://x", "urls": ["http://x"]}, "either \"sitemap\""),
        ("web", {"urls": []}, "must be texts, at least one"),
        ("web", {"urls": [7]}, "must be texts"),
        ("web", {"sitemap": None}, "must be texts"),
        ("web", {"sitemap": "file:///etc/passwd"}, "begins with \"http://\""),
        ("web", {"urls": ["http://x", "javascript:x"]}, "begins with \"http://\""),
        ("table", {"table": "t", "id": "i"}, "needs \"table\", \"id\" and \"content\""),
        ("table", {"table": "t", "id": "i", "content": "c", "metadata": "m"}, "needs \"table\""),
        ("table", {"table": "public.nope", "id": "i", "content": "c"}, "no table public.nope"),
        ("table", {"table": "a b c;", "id": "i", "content": "c"}, "no table a b c;"),
        ("table", {"table": "public.jobs", "id": "job_id", "content": "c"}, "Promptly's own"),
        ("table", {"table": "public.posts", "id": "post_id", "content": "text"}, "no column text"),
        ("table", {"table": "public.posts", "id": "body", "content": "body"}, "not unique"),
        ("bucket", {"bucket": ""}, "needs \"bucket\""),
        ("bucket", {"bucket": "b", "prefix": 7}, "needs \"bucket\""),
    ],
)  # fmt: skip
def test_a_source_that_nothing_can_be_read_by_leaves_nothing(
    acting: As, sql: Any, kind: Any, settings: dict[str, Any], said: str
) -> None:
    sql("create table posts (post_id int primary key, body text)")
    with pytest.raises(InvalidInput, match=said.replace("(", r"\(")) as caught:
        acting(None).add_source("fresh", kind, settings)
    assert "\n" not in caught.value.message and "refused" not in caught.value.message
    left = sql(
        "select (select count(*) from collections), (select count(*) from jobs), "
        "(select count(*) from pg_trigger where tgname like 'promptly_%')"
    )
    assert left == [(0, 0, 0)]


def test_a_table_is_followed_at_once_and_its_rows_go_with_the_source(acting: As, sql: Any) -> None:
    sql("create table posts (post_id int primary key, body text)")
    settings = {"table": "public.posts", "id": "post_id", "content": "body"}
    source = acting(None).add_source("blog", "table", settings)
    sql("insert into posts values (1, 'One.'), (2, 'Two.')")  # no worker has been there yet
    assert sql("select source, content from documents order by 1") == [("1", "One."), ("2", "Two.")]
    with pytest.raises(Conflict, match=r"blog has the source public\.posts already"):
        acting(None).add_source("blog", "table", settings)
    assert acting(None).remove_source(source.source_id) == 2
    assert sql("select count(*) from documents") == [(0,)]
    sql("insert into posts values (3, 'Nobody follows this.')")
    assert sql("select count(*) from documents") == [(0,)]
    with pytest.raises(NotFound):
        acting(None).remove_source(source.source_id)


def test_jobs_are_counted_listed_page_by_page_and_retried(acting: As, sql: Any) -> None:
    store = acting(None)
    store.add_source("notes", "web", PAGES)
    sql(
        "insert into documents (collection_id, source, content) "
        "select collection_id, 'd' || n, 'Text.' from collections, generate_series(1, 4) as n"
    )
    sql(
        "update jobs set dead_at = now(), attempts = 5, reason = 'It is broken.' "
        "where document_id in (select document_id from documents where source in ('d1', 'd2'))"
    )
    sql(
        "update jobs set leased_until = now() + interval '1 hour', worker_id = gen_random_uuid() "
        "where document_id = (select document_id from documents where source = 'd3')"
    )
    counts = [(c.of, c.waiting, c.running, c.dead) for c in store.job_counts(collection="notes")]
    assert counts == [("documents", 1, 1, 2), ("sources", 1, 0, 0)]
    assert store.job_counts(collection="elsewhere") == []
    first = page(store, limit=3)
    rest = page(store, after=first[-1].job_id)
    assert [job.name for job in first + rest] == [
        "https://example.org/a and 1 more", "d1", "d2", "d3", "d4",
    ]  # fmt: skip
    dead = page(store, state="dead")
    assert [(job.name, job.reason) for job in dead] == [
        ("d1", "It is broken."),
        ("d2", "It is broken."),
    ]
    store.retry_job(dead[0].job_id)
    assert [job.name for job in page(store, state="dead")] == ["d2"]
    assert store.retry_dead_jobs() == 1
    running = page(store, state="running")[0]
    store.retry_job(running.job_id)  # one that is worked on is left to its worker
    assert [job.name for job in page(store, state="running")] == ["d3"]
    assert {(job.attempts, job.reason) for job in page(store)} == {(0, None)}
    with pytest.raises(NotFound, match="There is no job"):
        store.retry_job(10**9)
