"""What test sets are made of: passages and questions, as far as one may read them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import uuid4

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from model_pipeline.domain import Caller
from model_pipeline.errors import NotFound
from model_pipeline.evaluation.generated import Source
from model_pipeline.store.connect import open_pool
from model_pipeline.store.corpus import PgCorpus
from model_pipeline.store.pg_store import PgStore
from model_pipeline.store.rows import EmbeddedDocument

MakeDocument = Callable[..., EmbeddedDocument]
ANN = Caller("authenticated", {"sub": str(uuid4()), "role": "authenticated"})


@pytest.fixture
def pool(database: str) -> Iterator[ConnectionPool[psycopg.Connection[object]]]:
    with open_pool(database, min_size=1, max_size=2) as opened:
        yield opened


@pytest.fixture
def filled(store: PgStore, embedded: MakeDocument) -> None:
    store.register_embedder("test", 384)
    documents = [embedded(f"{n}.md", (f"Kettle {n} boils.\n", "Tea.\n")) for n in range(5)]
    store.replace_documents(store.ensure_collection("shop"), documents)
    store.replace_documents(store.ensure_collection("other"), [embedded("o.md", ("A tent.\n",))])


def test_passages_of_a_collection_in_order(
    filled: None, pool: ConnectionPool[psycopg.Connection[object]]
) -> None:
    corpus = PgCorpus(pool)
    found = corpus.passages("shop", seed=0)
    assert found[:2] == [Source("0.md", "Kettle 0 boils.\n"), Source("0.md", "Tea.\n")]
    assert len(found) == 10
    assert corpus.passages("shop", seed=1) == found
    assert corpus.collections() == ["other", "shop"]
    with pytest.raises(NotFound, match="no collection 'gone'"):
        corpus.passages("gone", seed=0)


def test_passages_have_the_fields_of_their_documents_that_are_asked_for(
    filled: None, store: PgStore, pool: ConnectionPool[psycopg.Connection[object]]
) -> None:
    with pool.connection() as connection:
        connection.execute(
            """update documents set metadata = '{"topic": "tea", "page": 3, "none": null, "x": 1}'
            where source = '0.md'"""
        )
    found = PgCorpus(pool).passages("shop", seed=0, tags=["topic", "page", "none", "absent"])
    assert [one.tags for one in found[1:3]] == [{"topic": "tea", "page": "3"}, {}]


def test_of_many_documents_the_seed_decides(
    filled: None, pool: ConnectionPool[psycopg.Connection[object]]
) -> None:
    corpus = PgCorpus(pool)
    samples = [
        tuple(dict.fromkeys(one.source for one in corpus.passages("shop", seed=seed, documents=2)))
        for seed in (0, 0, 1, 2, 3)
    ]
    assert {len(one) for one in samples} == {2}
    assert samples[0] == samples[1]
    assert len(set(samples)) > 1


def test_words_that_stand_in_no_chunk_are_counted(
    filled: None, pool: ConnectionPool[psycopg.Connection[object]]
) -> None:
    questions = ["Does the kettle boil?", "What does the lantern of Bern do with tea?", "?", "tent"]
    assert PgCorpus(pool).absent("shop", questions) == [0, 2, 0, 1]


ASK = """
insert into answers (answer_id, user_id, question, answer, declined, citations, release_id,
    collection, conversation_id, created_at)
values (gen_random_uuid(), %(user)s, %(question)s, %(answer)s, false, %(citations)s, 'r',
    %(collection)s, %(conversation)s, now() + %(after)s * interval '1 second')
returning answer_id
"""


def test_what_was_asked_with_what_was_said_of_it(
    filled: None, pool: ConnectionPool[psycopg.Connection[object]], database: str
) -> None:
    talk = str(uuid4())
    with psycopg.connect(database, autocommit=True) as connection:

        def ask(question: str, after: int, **more: object) -> object:
            values = {"user": None, "answer": f"To {question}", "citations": "[]",
                      "collection": "shop", "conversation": talk}  # fmt: skip
            row = connection.execute(
                ASK, values | more | {"question": question, "after": after}
            ).fetchone()
            assert row is not None
            return row[0]

        cited = '[{"source": "b.md"}, {"source": "a.md"}, {"source": "b.md"}, {"n": 1}]'
        ask("First?", 1)
        second = ask("Second?", 2, citations=cited)
        ask("Another's?", 3, conversation=None, user=ANN.claims["sub"], collection=None)
        ask("Gone collection?", 4, collection="gone", conversation=None)
        connection.execute(
            "insert into feedback (answer_id, rating, corrected_answer) values (%s, 'down', 'No.')",
            (second,),
        )
    found = PgCorpus(pool).asked("shop")
    assert [one.question for one in found] == ["Second?", "First?"]
    assert (found[0].sources, found[0].rating, found[0].corrected) == (
        ["a.md", "b.md"],
        "down",
        "No.",
    )
    assert found[0].history == [{"question": "First?", "answer": "To First?"}]
    assert found[1].history == []
    everything = [one.question for one in PgCorpus(pool).asked(None)]
    assert everything == ["Another's?", "Second?", "First?"]
    with pytest.raises(NotFound):
        PgCorpus(pool).asked("gone")
    # Row-level security decides: what is hers, of what she may read.
    assert [one.question for one in PgCorpus(pool, ANN).asked(None)] == ["Another's?"]
    with pytest.raises(NotFound):
        PgCorpus(pool, ANN).asked("shop")
    assert PgCorpus(pool, ANN).collections() == []
