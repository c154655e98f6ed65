"""Whatever happens in whatever order: what is given again is what would be answered anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_pipeline.domain import Answer
from model_pipeline.embedding.onnx_embedder import OnnxEmbedder
from model_pipeline.errors import NotFound
from tests.promptly.asking import House, house, user

COLLECTIONS = ("shop", "club")
# Far apart, so that only the same question is the same.
QUESTIONS = (
    "When does the shop open?", "How long can tents be returned?", "Who repairs boots?",
)  # fmt: skip
TEXTS = (
    "The shop opens at nine in the morning.", "The shop opens at ten in the morning.",
    "Tents can be returned within thirty days.", "Boots are repaired by the cobbler.",
    "Tents can be returned within a year.",
)  # fmt: skip

collections = st.sampled_from(COLLECTIONS)
sources = st.sampled_from(("a.md", "b.md"))
people = st.sampled_from(("ann", "bob"))
asks = st.tuples(
    st.just("ask"), st.sampled_from(("ann", "bob", "anybody", "operator")),
    st.sampled_from(QUESTIONS), st.integers(0, 1), st.sampled_from((None, *COLLECTIONS)),
)  # fmt: skip
steps = st.one_of(
    asks, asks, asks,
    st.tuples(st.just("put"), collections, sources, st.sampled_from(TEXTS)),
    st.tuples(st.just("delete"), collections, sources),
    st.tuples(st.just("title"), collections, sources, st.sampled_from(("One", "Two"))),
    st.tuples(st.just("add member"), collections, people),
    st.tuples(st.just("remove member"), collections, people),
    st.tuples(st.just("show"), collections, st.sampled_from(("public", "private"))),
    st.tuples(st.just("give"), collections, people),
    st.tuples(st.just("drop"), collections),
)  # fmt: skip


@pytest.fixture(scope="module")
def opened(
    module_database: str,
    embedder: OnnxEmbedder,
    embedder_cache: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[House]:
    with house(module_database, embedder, embedder_cache, tmp_path_factory.mktemp("home")) as made:
        yield made
        # The property would hold of a cache that keeps nothing.
        assert made.given_again > 5


def content(answer: Answer) -> tuple[object, ...]:
    passages = [(one.chunk_id, one.content, one.title, one.score) for one in answer.passages]
    return answer.answer, answer.declined, answer.citations, passages, answer.complete


def asked(house: House, who: str, question: str, replica: int, collection: str | None) -> None:
    try:
        anew = house.ask_anew(who, question, collection=collection)
    except NotFound:
        with pytest.raises(NotFound):
            house.ask(who, question, replica, collection=collection)
        return
    for _ in range(2):
        given = house.ask(who, question, replica, collection=collection)
        house.given_again += given.cached
        assert content(given) == content(anew)


OF = "(select collection_id from collections where name = %s)"
CHANGES = {
    "delete": f"delete from documents where collection_id in {OF} and source = %s",
    "add member": "insert into members (collection_id, user_id) select collection_id, u from "
    "collections, (values (%s, %s::uuid)) as v (n, u) where name = n on conflict do nothing",
    "remove member": f"delete from members where collection_id in {OF} and user_id = %s",
    "show": "update collections set visibility = v "
    "from (values (%s, %s)) as g (n, v) where name = n",
    "give": "update collections set owner_id = u "
    "from (values (%s, %s::uuid)) as v (n, u) where name = n",
    "drop": "delete from collections where name = %s",
    "title": "update documents set title = t from (values (%s, %s, %s)) as v (n, s, t), "
    "collections as c where c.name = n and documents.collection_id = c.collection_id "
    "and documents.source = s",
}  # fmt: skip


@given(st.lists(steps, min_size=5, max_size=25))
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_given_again_or_anew_is_the_same(opened: House, steps: list[tuple[str, ...]]) -> None:
    opened.run("delete from collections")
    for name, owner in zip(COLLECTIONS, ("ann", "bob"), strict=True):
        opened.put(name, "a.md", TEXTS[0])
        opened.put(name, "b.md", TEXTS[2])
        opened.run("update collections set owner_id = %s where name = %s", user(owner), name)
    for step, *values in steps:
        if step == "ask":
            asked(opened, *values)
        elif step == "put":
            put(opened, *values)
        else:
            opened.run(
                CHANGES[step], *(user(one) if one in ("ann", "bob") else one for one in values)
            )


def put(house: House, collection: str, source: str, text: str) -> None:
    """Into the collection whoever owns it, not one of the operator's own of that name."""
    owner = house.one("select owner_id from collections where name = %s", collection)
    house.run("update collections set owner_id = null where name = %s", collection)
    house.put(collection, source, text)
    house.run("update collections set owner_id = %s where name = %s", owner, collection)
