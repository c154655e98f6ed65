"""What training data is made of: the same through both doors, and to each what they may read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import psycopg
import pytest
from postgrest.exceptions import APIError

from model_pipeline import material
from model_pipeline.errors import Forbidden
from model_pipeline.evaluation.examples import Example, TestSet
from model_pipeline.evaluation.test_sets import to_jsonl
from model_pipeline.store.connect import open_pool
from model_pipeline.store.doors import Door, PostgresDoor, SupabaseDoor
from model_pipeline.store.evaluations import PgEvaluations
from model_pipeline.store.supabase_api import open_client
from tests.conftest import NewDatabase
from tests.servers import supabase_lite
from tests.servers.supabase_lite import SupabaseServer

FILL = """
insert into collections (name) values ('shop'), ('work');
insert into documents (collection_id, source, title, content_hash)
select c.collection_id, c.name || n, 'T', 'h' from collections as c, generate_series(1, 1100) as n;
insert into chunks (collection_id, document_id, ordinal, start_at, heading_path, content, embedding)
select d.collection_id, d.document_id, 0, 0, '{}', 'Of ' || d.source,
    array_fill(0.05::real, array[384])::extensions.vector::extensions.halfvec(384)
from documents as d;
"""
SAY = """
with said as (
    insert into answers (user_id, question, answer, release_id, collection, conversation_id,
        citations, created_at, bias)
    values (%(user)s, %(question)s, 'Yes.', 'r', %(collection)s, %(talk)s,
        '[{"source": "b"}, {"source": "a"}, {"n": 2}]', now() + %(after)s * interval '1 second',
        %(bias)s)
    returning answer_id
)
insert into feedback (answer_id, user_id, rating, corrected_answer, comment, harm)
select answer_id, %(user)s, %(rating)s, %(corrected)s, 'c', %(harm)s from said
"""
TALK = "11111111-2222-3333-4444-555555555555"


def say(database: str, question: str, **more: Any) -> None:
    values = {
        "user": None, "collection": "shop", "talk": None, "after": 0, "rating": "up",
        "corrected": None, "harm": None, "bias": None,
    } | more  # fmt: skip
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(SAY, values | {"question": question})


@pytest.fixture(scope="module")
def api(
    new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SupabaseServer]:
    if reason := supabase_lite.missing():
        pytest.skip(f"{reason}: sh tests/servers/install-node.sh supabase")
    with new_database() as conninfo:
        with psycopg.connect(conninfo) as connection:
            connection.execute(FILL)
        with supabase_lite.running(conninfo, tmp_path_factory.mktemp("supabase")) as started:
            yield started


@pytest.fixture(scope="module")
def doors(api: SupabaseServer) -> Iterator[list[Door]]:
    """Postgres' own, and that of the service key."""
    with ExitStack() as stack:
        pool = stack.enter_context(open_pool(api.conninfo, min_size=1, max_size=1))
        client = stack.enter_context(open_client(api.url, api.service_key))
        yield [PostgresDoor(pool), SupabaseDoor(client)]


def test_every_passage_once_past_the_apis_thousand_rows(doors: list[Door]) -> None:
    for door in doors:
        found = list(material.passages(door, "shop"))
        assert sorted(one.source for one in found) == sorted(f"shop{n}" for n in range(1, 1101))
        assert all(one.content == f"Of {one.source}" for one in found)
        assert len(list(material.passages(door))) == 2200
        assert list(material.passages(door, "gone")) == []


def test_what_was_liked_or_corrected_with_what_was_said_before(
    api: SupabaseServer, doors: list[Door]
) -> None:
    (ann, token) = api.sign_up("ann@example.org")
    say(api.conninfo, "First?", talk=TALK)
    say(api.conninfo, "Second?", talk=TALK, after=5, rating="down", corrected=" Maybe. ")
    say(api.conninfo, "Disliked?", rating="down")
    say(api.conninfo, "Blank?", rating="down", corrected="  ")
    say(api.conninfo, "Harmful?", harm="yes")
    say(api.conninfo, "Mended?", harm="yes", corrected="Better.")
    say(api.conninfo, "Flagged?", bias='{"level": 2, "flagged": true}')
    say(api.conninfo, "Fair?", bias='{"level": 5, "flagged": false}')
    say(api.conninfo, "Hers?", user=ann, collection=None)
    found = [{one.asked.question: one for one in material.rated(door)} for door in doors]
    assert found[0] == found[1]
    rows = {name: one.asked for name, one in found[0].items()}
    assert set(rows) == {"First?", "Second?", "Mended?", "Fair?", "Hers?"}
    assert {name: one.rated for name, one in rows.items()} == {
        "First?": "liked", "Second?": "corrected", "Mended?": "corrected", "Fair?": "liked",
        "Hers?": "liked",
    }  # fmt: skip
    assert rows["Second?"].corrected == "Maybe." and rows["Second?"].sources == ["a", "b"]
    assert rows["Second?"].history == [{"question": "First?", "answer": "Yes."}]
    assert found[0]["First?"].said_at < found[0]["Second?"].said_at
    assert {one.asked.question for one in material.rated(doors[1], "shop")} == set(rows) - {"Hers?"}
    with open_client(api.url, api.anon_key, token) as hers:
        assert [one.asked.question for one in material.rated(SupabaseDoor(hers))] == ["Hers?"]


def test_every_version_of_every_test_set_for_the_service_alone(
    api: SupabaseServer, doors: list[Door]
) -> None:
    with open_pool(api.conninfo, min_size=1, max_size=1) as pool:
        records = PgEvaluations(pool)
        for name, question in (("a", "One?"), ("a", "Two?"), ("b", "Three?")):
            examples = (Example("1", question, ("Yes.",)),)
            records.freeze(TestSet(name, examples), to_jsonl(examples).decode(), {})
    for door in doors:
        found = material.test_sets(door)
        asked = [(one.name, example.question) for one in found for example in one.examples]
        assert asked == [("a", "One?"), ("a", "Two?"), ("b", "Three?")]
    _, token = api.sign_up("bob@example.org")
    with open_client(api.url, api.anon_key, token) as his, suppress(Forbidden):
        assert material.test_sets(SupabaseDoor(his)) == []


def test_training_data_is_nobodys_to_read_or_change(api: SupabaseServer) -> None:
    _, token = api.sign_up("eve@example.org")
    with psycopg.connect(api.conninfo, autocommit=True) as connection:
        connection.execute(
            "insert into training_lines (line_key, dataset_hash, file, line) "
            "values (repeat('a', 64) || '/x/1', repeat('a', 64), 'x', 'l')"
        )
        with pytest.raises(psycopg.errors.RaiseException, match="never changes"):
            connection.execute("update training_lines set line = 'm'")
    for key, who in ((api.anon_key, None), (api.anon_key, token)):
        with open_client(api.url, key, who) as client:
            for view in ("training_lines", "loadable_training", "loadable_test_sets"):
                with suppress(APIError):  # where not even the view may be read
                    assert client.table(view).select("*").execute().data == []
