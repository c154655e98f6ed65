"""All of the store to a file and back: the same answers to the bit, and nothing from a bad file."""

from __future__ import annotations

import asyncio
import gzip
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, get_args

import numpy as np
import psycopg
import pytest

from model_pipeline.domain import SearchMode
from model_pipeline.errors import ConfigurationError, Conflict, InvalidInput
from model_pipeline.store.connect import open_async_pool
from model_pipeline.store.dump import dump, restore
from model_pipeline.store.pg_store import PgStore
from model_pipeline.store.retrieval import PgRetriever
from model_pipeline.store.rows import EmbeddedDocument

TABLES = """
collections members documents chunks chunk_lexemes collection_statistics lexeme_statistics
answers conversations feedback test_sets scorecards verdicts reviews bias_reports
"""
WORDS = "tent rope lantern stove kettle boots jacket compass filter bottle the and of".split()
MakeDocument = Callable[..., EmbeddedDocument]
NewDatabase = Callable[[], AbstractContextManager[str]]


@pytest.fixture
def filled(database: str, store: PgStore, embedded: MakeDocument) -> str:
    rng = random.Random(3)
    store.register_embedder("test", 384)
    for collection in ("plain", "Ümlaut\t\\N"):
        collection_id = store.ensure_collection(collection)
        documents = [
            embedded(
                f"{number}.md",
                tuple(" ".join(rng.choices(WORDS, k=rng.randint(3, 30))) + "\n" for _ in range(3)),
                metadata={"number": number, "tags": ["ü", None, 0.1]},
            )
            for number in range(60)
        ]
        store.replace_documents(collection_id, documents)
    return database


@pytest.fixture
def empty(new_database: NewDatabase) -> Iterator[str]:
    with new_database() as conninfo:
        yield conninfo


def everything(database: str) -> dict[str, list[Any]]:
    with psycopg.connect(database) as connection:
        rows = {
            table: connection.execute(
                # A version stands for contents as they came to be here.
                f"select (to_jsonb(t) - 'version')::text from {table} as t order by 1"
            ).fetchall()
            for table in TABLES.split()
        }
        rows["embedder"] = connection.execute("select name, dimensions from embedder").fetchall()
    return rows


def rankings(database: str) -> list[Any]:
    async def ask() -> list[Any]:
        vector = np.random.default_rng(5).normal(size=384).astype(np.float32)
        vector /= np.linalg.norm(vector)
        async with open_async_pool(database, min_size=1, max_size=1) as pool:
            return [
                [
                    (one.chunk_id, one.score)
                    for one in (
                        await PgRetriever(pool).search(
                            text=text,
                            vector=vector,
                            k=20,
                            mode=mode,
                            collection=collection,
                            filter=None,
                        )
                    ).passages
                ]
                for mode in get_args(SearchMode)
                for text in ("tent and rope", "compass", "kettle stove")
                for collection in (None, "plain")
            ]

    return asyncio.run(ask())


ASKED = "select collection_id, document_id, source_id from jobs order by 2 nulls last, 3"


def test_a_round_trip_answers_the_same_to_the_bit(filled: str, empty: str, tmp_path: Path) -> None:
    with psycopg.connect(filled) as connection:
        connection.execute(
            "update collections set owner_id = gen_random_uuid(), visibility = 'public' "
            "where name = 'plain'"
        )
        connection.execute(
            "insert into members select collection_id, gen_random_uuid(), 'editor' from collections"
        )
        connection.execute(
            "with asked as (insert into answers (question, answer, release_id, citations) "
            "select 'q' || n, 'a', 'r', '[{\"n\": 1}]' from generate_series(1, 5) as n "
            "returning *) "
            "insert into feedback (answer_id, rating) select answer_id, 'up' from asked"
        )
        connection.execute(
            "insert into conversations (conversation_id, title, deleted_at) "
            "values (gen_random_uuid(), 'q1', null), (gen_random_uuid(), null, now())"
        )
        connection.execute(
            "update answers set timings_ms = '{\"total\": 1}', feedback_times = '{\"rating\": 1}', "
            "conversation_id = (select conversation_id from conversations where title = 'q1')"
        )
        connection.execute(
            "insert into sources (collection_id, kind, settings, refresh_every) "
            "select collection_id, 'files', '{\"paths\": [\"/docs\"]}', '1 day' from collections "
            "where name = 'plain'"
        )
        connection.execute(
            "insert into documents (collection_id, source, content) "
            "select collection_id, 'waiting', 'Not indexed yet.' from collections"
        )
        connection.execute(
            "insert into test_sets values ('small', 1, 'h', '{\"n\": 1}', '[{\"id\": \"1\"}]')"
        )
        connection.execute(
            "insert into scorecards (release_id, test_set_hash, hash, scorecard) "
            "values ('r', 'h', 'k', '{\"b\": 1.10,  \"a\": 2}')"
        )
        connection.execute(
            "update answers set bias = '{\"level\": 2}' where question = 'q2'; "
            "insert into verdicts select answer_id, 's', user_id, 2, 2.5, '{0,.5,.5,0,0}', '[]', "
            "'why', true, null from answers; insert into reviews (answer_id, signature, level) "
            "select answer_id, 's', 4 from answers where question = 'q2'; "
            "insert into bias_reports (signature, since, until, hash, report) "
            "values ('s', '2026-01-01', '2026-01-08', 'h', '{\"b\": 1.10}'); "
            "insert into model_versions (repo, tag, commit, kind, made_from) "
            "values ('me/it', 'v1', repeat('a', 40), 'merged', repeat('b', 64)); "
            "insert into model_ledger values ('me/it', 1, repeat('a', 40), 'promoted', 'why', 'me')"
        )
        jobs = connection.execute(ASKED).fetchall()
    assert len(jobs) == 3
    rows = {"collections": 2, "members": 2, "sources": 1, "documents": 122, "chunks": 360,
            "conversations": 2, "answers": 5, "feedback": 5, "test_sets": 1,
            "scorecards": 1, "verdicts": 5, "reviews": 1, "bias_reports": 1,
            "model_versions": 1, "model_ledger": 1}  # fmt: skip
    assert dump(filled, tmp_path / "all.dump") == rows
    assert restore(empty, tmp_path / "all.dump") == rows
    assert everything(empty) == everything(filled)
    before = rankings(filled)
    assert all(before)
    assert rankings(empty) == before
    assert [one.name for one in tmp_path.iterdir()] == ["all.dump"]
    with psycopg.connect(empty) as connection:
        assert connection.execute(ASKED).fetchall() == jobs


def test_an_embedder_of_another_width_comes_with_the_dump(
    database: str, store: PgStore, embedded: MakeDocument, empty: str, tmp_path: Path
) -> None:
    store.register_embedder("narrow", 8)
    store.replace_documents(store.ensure_collection("c"), [embedded(dimensions=8)])
    dump(database, tmp_path / "all.dump")
    restore(empty, tmp_path / "all.dump")
    assert everything(empty) == everything(database)


def test_a_database_with_documents_is_refused(filled: str, tmp_path: Path) -> None:
    dump(filled, tmp_path / "all.dump")
    before = everything(filled)
    with pytest.raises(Conflict, match="empty"):
        restore(filled, tmp_path / "all.dump")
    assert everything(filled) == before


def test_a_damaged_file_restores_nothing(filled: str, empty: str, tmp_path: Path) -> None:
    whole = tmp_path / "whole.dump"
    dump(filled, whole)
    packed, plain = whole.read_bytes(), gzip.decompress(whole.read_bytes())
    flipped = bytearray(plain)
    flipped[len(plain) // 2] ^= 1
    damaged = {
        "cut": packed[: len(packed) // 2],
        "cut between blocks": gzip.compress(plain[:-32]),
        "a bit flipped": gzip.compress(bytes(flipped)),
        "more behind": gzip.compress(plain + b"x"),
        "another file": b"PK another file",
        "another gzip": gzip.compress(b"another file\n"),
        "empty": b"",
    }
    for name, content in damaged.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InvalidInput, match="is damaged or no dump"):
            restore(empty, tmp_path / name)
    with pytest.raises(InvalidInput, match="does not exist"):
        restore(empty, tmp_path / "gone")
    assert not everything(empty)["collections"]
    restore(empty, whole)  # and the whole one still goes in


def test_a_newer_schema_and_a_place_not_writable_are_told(
    filled: str, empty: str, tmp_path: Path
) -> None:
    with psycopg.connect(filled) as connection:
        connection.execute(
            "insert into supabase_migrations.schema_migrations values ('20990101000000')"
        )
    dump(filled, tmp_path / "all.dump")
    with pytest.raises(ConfigurationError, match="20990101000000"):
        restore(empty, tmp_path / "all.dump")
    with pytest.raises(InvalidInput, match="cannot be written"):
        dump(filled, tmp_path / "no" / "all.dump")
