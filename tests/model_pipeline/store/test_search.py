"""Retrieval in SQL: exact BM25, k of k rows, filters, ties, hostile input."""

from __future__ import annotations

import asyncio
import json
import math
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

from model_pipeline.domain import Chunk, Document, SearchMode, SearchResult
from model_pipeline.errors import InvalidInput, NotFound
from model_pipeline.store.connect import open_async_pool, open_pool
from model_pipeline.store.pg_store import PgStore
from model_pipeline.store.retrieval import PgRetriever
from model_pipeline.store.rows import EmbeddedDocument

WORDS = "tent rope lantern stove kettle boots jacket compass filter bottle the and of".split()
K1, B = 1.2, 0.75


def document(source: str, text: str, seed: int, **metadata: Any) -> EmbeddedDocument:
    vector = np.random.default_rng(seed).normal(size=(1, 384)).astype(np.float32)
    chunk = Chunk(0, 0, len(text), text)
    vectors = vector / np.linalg.norm(vector)
    return EmbeddedDocument(Document(source, "", text, metadata), f"h{seed}", "o", [chunk], vectors)


def texts(count: int, seed: int = 7) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randint(3, 25))) for _ in range(count)]


@pytest.fixture
def store(database: str) -> Iterator[PgStore]:
    with open_pool(database, min_size=1, max_size=4) as pool:
        made = PgStore(pool)
        made.register_embedder("test", 384)
        yield made


def search(
    database: str,
    text: str,
    *,
    mode: SearchMode = "lexical",
    k: int = 10,
    collection: str | None = None,
    filter: Mapping[str, Any] | None = None,
    seed: int = 1,
) -> SearchResult:
    async def run() -> SearchResult:
        async with open_async_pool(database, min_size=1, max_size=1) as pool:
            vector = document("", "x", seed).vectors[0]
            return await PgRetriever(pool).search(
                text=text, vector=vector, k=k, mode=mode, collection=collection, filter=filter
            )

    return asyncio.run(run())


def reference(database: str, question: str, collection: str | None = None) -> dict[str, float]:
    """BM25 in plain Python over the store's own lexemes: source to score."""
    with psycopg.connect(database, options="-c search_path=public,extensions") as connection:
        rows = connection.execute(
            "select d.source, u.lexeme, cardinality(u.positions) from documents as d "
            "join chunk_lexemes as l on l.chunk_id in (select chunk_id from chunks as c "
            "where c.document_id = d.document_id), unnest(l.lexemes) as u "
            "where %(name)s::text is null or d.collection_id = any(collections_named(%(name)s))",
            {"name": collection},
        ).fetchall()
        asked = connection.execute("select tsvector_to_array(lexemes(%s))", (question,)).fetchone()
    assert asked is not None
    counts: dict[str, Counter[str]] = {}
    for source, lexeme, count in rows:
        counts.setdefault(source, Counter())[lexeme] += count
    mean = sum(sum(one.values()) for one in counts.values()) / len(counts)
    scores: dict[str, float] = {}
    for term in asked[0]:
        df = sum(term in one for one in counts.values())
        idf = math.log(1 + (len(counts) - df + 0.5) / (df + 0.5))
        for source, one in counts.items():
            if tf := one[term]:
                length = sum(one.values())
                part = idf * tf * (K1 + 1) / (tf + K1 * (1 - B + B * length / mean))
                scores[source] = scores.get(source, 0) + part
    return scores


def assert_exact(database: str, question: str, collection: str | None = None) -> None:
    expected = reference(database, question, collection)
    result = search(database, question, k=100, collection=collection)
    found = {passage.source: passage.score for passage in result.passages}
    assert found == pytest.approx(expected, abs=1e-6)
    assert [p.score for p in result.passages] == sorted(found.values(), reverse=True)


def statistics(database: str) -> tuple[Any, Any, Any]:
    """What the triggers keep, and the same counted afresh."""
    with psycopg.connect(database) as connection:
        kept = connection.execute(
            "select lexeme, chunk_count from lexeme_statistics order by 1"
        ).fetchall()
        counted = connection.execute(
            "select u.lexeme, count(*) from chunks as c, "
            "unnest(lexemes(c.context || ' ' || c.content)) as u group by 1 order by 1"
        ).fetchall()
        totals = connection.execute(
            "select coalesce(sum(s.chunk_count), 0) = (select count(*) from chunks), "
            "coalesce(sum(s.total_length), 0) = (select coalesce(sum(length), 0) "
            "from chunk_lexemes) from collection_statistics as s"
        ).fetchone()
    return kept, counted, totals


def test_bm25_is_exact_as_documents_come_and_go(store: PgStore, database: str) -> None:
    collection = store.ensure_collection("shop")
    batch = [document(f"d{n}", text, n) for n, text in enumerate(texts(60))]
    store.replace_documents(collection, batch)
    for question in ("tent", "rope and lantern", "stove kettle boots jacket", "the compass"):
        assert_exact(database, question)
    changed = [document(f"d{n}", "tent " * 9 + text, 100 + n) for n, text in enumerate(texts(9, 2))]
    store.replace_documents(collection, changed)
    store.remove_sources(collection, [f"d{n}" for n in range(20, 35)])
    assert_exact(database, "tent filter bottle")
    kept, counted, totals = statistics(database)
    assert kept == counted
    assert totals == (True, True)
    store.remove_sources(collection, [f"d{n}" for n in range(60)])
    assert statistics(database)[0] == []


@pytest.mark.parametrize("counted", [False, True])
def test_bm25_is_exact_by_whichever_way(store: PgStore, database: str, counted: bool) -> None:
    """Any number of terms, in collections that are most of the store and a little of it: by the
    index over words and by the chunks, before and after Postgres knows how many there are."""
    most, little = store.ensure_collection("most"), store.ensure_collection("little")
    batch = [document(f"m{n}", text, n) for n, text in enumerate(texts(30))]
    store.replace_documents(most, batch)
    batch = [document(f"l{n}", text, n) for n, text in enumerate(texts(6, 3))]
    store.replace_documents(little, batch)
    if counted:
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("vacuum analyze chunk_lexemes")
    for count in range(1, len(WORDS) + 1):
        for collection in (None, "most", "little"):
            assert_exact(database, " ".join(WORDS[:count]), collection)


def test_new_words_do_not_wait_for_the_index(store: PgStore, database: str) -> None:
    """A search would read all that wait."""
    collection = store.ensure_collection("shop")
    store.replace_documents(collection, [document(f"d{n}", t, n) for n, t in enumerate(texts(60))])
    with psycopg.connect(database) as connection:
        row = connection.execute(
            "select gin_clean_pending_list('chunk_lexemes_lexemes')"
        ).fetchone()
    assert row == (0,)


def test_occurrences_are_read_back_from_the_rank(database: str) -> None:
    with psycopg.connect(database) as connection:
        for count in (1, 2, 3, 17, 100, 255):
            vector = "'a':" + ",".join(str(n) for n in range(1, count + 1)) + " 'b':300"
            row = connection.execute(
                "select occurrences_of(%s::tsvector, term_query('a')), "
                "occurrences_of(%s::tsvector, term_query('c'))",
                (vector, vector),
            ).fetchone()
            assert row == (count, 0)


def test_common_words_fetch_nothing_more(store: PgStore, database: str) -> None:
    """With a rare word in the question, the ten thousand chunks with a common one stay unread."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("set search_path = public, extensions")
        collection = store.ensure_collection("many")
        connection.execute("drop index chunks_embedding")
        connection.execute(
            "insert into documents (collection_id, source, content_hash) values (%s, 'all', 'h')",
            (collection,),
        )
        connection.execute(
            "insert into chunks (collection_id, document_id, ordinal, start_at, content, embedding)"
            " select %s, (select document_id from documents), n, 0, 'common word ' || "
            "case when n %% 1000 = 0 then 'zebra' else 'x' || n end, "
            "array_fill(0.05::real, array[384])::halfvec from generate_series(1, 10000) as n",
            (collection,),
        )
        row = connection.execute(
            "select cardinality(c.chunk_ids), c.capped from collection_statistics as s, "
            "lexical_candidates('the common zebra word', array[s.collection_id], true, "
            "s.chunk_count, s.total_length, null, null, 100, 5000) as c"
        ).fetchone()
    assert row == (10, True)
    result = search(database, "common zebra word", k=10)
    assert result.complete
    assert all("zebra" in passage.content for passage in result.passages)
    alone = search(database, "common word", k=10)
    assert len(alone.passages) == 10


def test_hybrid_fuses_by_reciprocal_rank(store: PgStore, database: str) -> None:
    collection = store.ensure_collection("shop")
    store.replace_documents(collection, [document(f"d{n}", t, n) for n, t in enumerate(texts(40))])
    ranks: dict[str, float] = {}
    modes: tuple[SearchMode, ...] = ("dense", "lexical")
    for mode in modes:
        for rank, passage in enumerate(search(database, "tent rope", mode=mode, k=40).passages, 1):
            ranks[passage.source] = ranks.get(passage.source, 0) + 1 / (60 + rank)
    found = search(database, "tent rope", mode="hybrid", k=40).passages
    assert {one.source: one.score for one in found} == pytest.approx(ranks)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert found == search(database, "tent rope", mode="hybrid", k=40).passages


def test_dense_orders_by_cosine(store: PgStore, database: str) -> None:
    collection = store.ensure_collection("shop")
    batch = [document(f"d{n}", "text", n) for n in range(50)]
    store.replace_documents(collection, batch)
    asked = document("", "x", 3).vectors[0]
    expected = sorted(batch, key=lambda one: -float(one.vectors[0] @ asked))[:5]
    result = search(database, "x", mode="dense", k=5, seed=3)
    assert [one.source for one in result.passages] == [one.document.source for one in expected]
    assert result.passages[0].dense_score == pytest.approx(1, abs=1e-2)


@pytest.mark.parametrize(
    ("filter", "wanted"),
    [
        ({"lang": "en"}, {"a", "b"}),
        ({"lang": "en", "year": 2020}, {"a"}),
        ({"year": {"gte": 2021}}, {"b", "c"}),
        ({"year": {"gt": 2020, "lt": 2022}}, {"b"}),
        ({"lang": {"in": ["de", "fr"]}}, {"c"}),
        ({"tags": {"contains": "red"}}, {"a", "c"}),
        ({"tags": "blue"}, {"a"}),
        ({"lang": {"contains": "n"}}, {"a", "b"}),
        ({"lang": {"ne": "en"}}, {"c", "d"}),
        ({"not": {"lang": "en"}}, {"c", "d"}),
        ({"any": [{"lang": "de"}, {"year": 2020}]}, {"a", "c"}),
        ({"all": [{"lang": "en"}, {"year": {"lte": 2020}}]}, {"a"}),
        ({"author.name": "Ada"}, {"d"}),
        ({"year": "2020"}, set()),
        ({'we"ird key': "va'l\"ue\\"}, {"d"}),
    ],
)
def test_filters(store: PgStore, database: str, filter: dict[str, Any], wanted: set[str]) -> None:
    rows: Sequence[tuple[str, dict[str, Any]]] = (
        ("a", {"lang": "en", "year": 2020, "tags": ["red", "blue"]}),
        ("b", {"lang": "en", "year": 2021}),
        ("c", {"lang": "de", "year": 2022, "tags": ["red"]}),
        ("d", {"author": {"name": "Ada"}, 'we"ird key': "va'l\"ue\\"}),
    )
    collection = store.ensure_collection("shop")
    batch = [document(name, "tent", n, **metadata) for n, (name, metadata) in enumerate(rows)]
    store.replace_documents(collection, batch)
    modes: tuple[SearchMode, ...] = ("hybrid", "dense", "lexical")
    for mode in modes:
        result = search(database, "tent", mode=mode, filter=filter)
        assert {passage.source for passage in result.passages} == wanted
        assert result.complete


def test_a_small_tenant_gets_k_of_k(store: PgStore, database: str) -> None:
    large, small = store.ensure_collection("large"), store.ensure_collection("small")
    crowd = [document(f"l{n}", "tent", n) for n in range(6000)]
    for at in range(0, len(crowd), 1000):
        store.replace_documents(large, crowd[at : at + 1000])
    store.replace_documents(small, [document(f"s{n}", "tent", n, rare=n < 12) for n in range(30)])
    modes: tuple[SearchMode, ...] = ("hybrid", "dense")
    for mode in modes:
        result = search(database, "tent", mode=mode, collection="small", k=20)
        assert len(result.passages) == 20
        assert all(passage.source.startswith("s") for passage in result.passages)
        filtered = search(database, "tent", mode=mode, filter={"rare": True}, k=10)
        assert len(filtered.passages) == 10
        assert filtered.complete
        everywhere = search(database, "tent", mode=mode, k=10)
        assert len(everywhere.passages) == 10


def test_nothing_found_is_complete(store: PgStore, database: str) -> None:
    empty = search(database, "tent", mode="hybrid")
    assert (empty.passages, empty.complete) == ((), True)
    store.replace_documents(store.ensure_collection("shop"), [document("a", "tent", 1)])
    assert search(database, "unheard").passages == ()
    assert search(database, "the and of").passages == ()
    assert len(search(database, "the and of", mode="hybrid").passages) == 1


def test_an_unknown_collection_is_not_found(store: PgStore, database: str) -> None:
    with pytest.raises(NotFound, match="'nowhere'"):
        search(database, "tent", collection="nowhere")


@pytest.mark.parametrize(
    "filter",
    [
        {"a": {"between": 1}},
        {"a": []},
        {"a": {}},
        {"": 1},
        {"a": {"in": []}},
        {"a": {"in": list(range(101))}},
        {"a": {"gt": None}},
        {"a": "x" * 2000},
        {"a": "\0"},
        {"a": float("nan")},
        {"any": []},
        {"any": [{"any": [{"any": [{"any": [{"any": [{"a": 1}]}]}]}]}]},
        {f"k{n}": n for n in range(51)},
    ],
)
def test_a_wrong_filter_is_one_sentence(database: str, filter: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as caught:
        search(database, "tent", filter=filter)
    assert "\n" not in caught.value.message
    assert caught.value.message.endswith(".")


def test_hostile_questions_and_filters_are_only_text(
    store: PgStore, database: str, shared_data: Path
) -> None:
    store.replace_documents(store.ensure_collection("shop"), [document("a", "tent", 1)])
    lines = json.loads((shared_data / "blns" / "blns.json").read_text(encoding="utf-8"))

    async def run() -> None:
        async with open_async_pool(database, min_size=1, max_size=1) as pool:
            retriever = PgRetriever(pool)
            vector = document("", "x", 1).vectors[0]
            for line in lines:
                for filter in (None, {"key": line} if line else None):
                    result = await retriever.search(
                        text=line, vector=vector, k=5, mode="hybrid", collection=None, filter=filter
                    )
                    assert len(result.passages) <= 1

    asyncio.run(run())
