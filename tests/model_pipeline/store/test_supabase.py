"""The HTTPS door: the real Supabase client against Supabase's own HTTP API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, get_args

import httpx
import pytest
from postgrest.exceptions import APIError

from model_pipeline.domain import Chunk, Document, SearchMode
from model_pipeline.embedding.onnx_embedder import OnnxEmbedder
from model_pipeline.store.connect import EMBEDDER_MISMATCH, open_async_pool, open_pool
from model_pipeline.store.pg_store import PgStore
from model_pipeline.store.retrieval import PgRetriever
from model_pipeline.store.rows import EmbeddedDocument
from supabase import Client, ClientOptions, create_client
from tests.servers.supabase_lite import SupabaseServer

ROWS_PER_ANSWER = 1000
DOCUMENTS = 1100
TABLES = """
chunk_lexemes chunks collection_statistics collections documents embedder lexeme_statistics
""".split()
TOPICS = "tent rope lantern stove kettle boots".split()
QUESTIONS = ("tent", "rope and lantern", "nothing of the kind")


@pytest.fixture(scope="module")
def filled(supabase_server: SupabaseServer, embedder: OnnxEmbedder) -> SupabaseServer:
    texts = [f"The {TOPICS[n % 6]} of {TOPICS[n // 6 % 6]}." for n in range(36)]
    vectors = embedder.embed(texts)
    with open_pool(supabase_server.conninfo, min_size=1, max_size=2) as pool:
        store = PgStore(pool)
        store.register_embedder(embedder.name, embedder.dimensions)
        store.replace_documents(
            store.ensure_collection("shop"),
            [
                EmbeddedDocument(
                    Document(f"d{n}", "", texts[n % 36], {"lang": "en" if n % 3 else "de"}),
                    f"h{n}",
                    "o",
                    [Chunk(0, 0, len(texts[n % 36]), texts[n % 36])],
                    vectors[n % 36 : n % 36 + 1],
                )
                for n in range(DOCUMENTS)
            ],
        )
    return supabase_server


ClientFor = Callable[[str], Client]


@pytest.fixture
def client_for(filled: SupabaseServer) -> Iterator[ClientFor]:
    with ExitStack() as stack:

        def make(key: str) -> Client:
            connections = stack.enter_context(httpx.Client())
            return create_client(filled.url, key, ClientOptions(httpx_client=connections))

        yield make


@pytest.fixture
def service(client_for: ClientFor, filled: SupabaseServer) -> Client:
    return client_for(filled.service_key)


@pytest.fixture
def anonymous(client_for: ClientFor, filled: SupabaseServer) -> Client:
    return client_for(filled.anon_key)


def rpc_arguments(embedder: OnnxEmbedder, question: str, **more: Any) -> dict[str, Any]:
    (vector,) = embedder.embed([question])
    # A vector goes as text: PostgREST turns a JSON array into a Postgres array, which is none.
    return {"query_text": question, "query_embedding": json.dumps(vector.tolist()), **more}


@pytest.mark.parametrize("filter", [None, {"lang": "de"}, {"lang": "absent"}])
@pytest.mark.parametrize("mode", get_args(SearchMode))
def test_the_same_ranking_as_the_direct_door(
    service: Client,
    filled: SupabaseServer,
    embedder: OnnxEmbedder,
    mode: SearchMode,
    filter: dict[str, Any] | None,
) -> None:
    async def direct() -> list[list[tuple[str, float]]]:
        async with open_async_pool(filled.conninfo, min_size=1, max_size=1) as pool:
            results = [
                await PgRetriever(pool).search(
                    text=question,
                    vector=embedder.embed([question])[0],
                    k=10,
                    mode=mode,
                    collection="shop",
                    filter=filter,
                )
                for question in QUESTIONS
            ]
        return [[(str(p.chunk_id), p.score) for p in one.passages] for one in results]

    path = None if filter is None else f'$.lang == "{filter["lang"]}"'
    through_http = [
        [
            (row["chunk_id"], pytest.approx(row["score"], abs=1e-6))
            for row in service.rpc(
                "search_chunks",
                rpc_arguments(embedder, question, k=10, mode=mode, collection="shop", filter=path),
            )
            .execute()
            .data
            if row["chunk_id"]
        ]
        for question in QUESTIONS
    ]
    expected = asyncio.run(direct())
    assert through_http == expected
    assert any(expected) == (filter != {"lang": "absent"})


def test_a_question_of_another_embedder_is_refused(service: Client, embedder: OnnxEmbedder) -> None:
    arguments = rpc_arguments(embedder, "tent", k=3)
    named = service.rpc("search_chunks", {**arguments, "embedder": embedder.name}).execute().data
    assert named == service.rpc("search_chunks", arguments).execute().data
    with pytest.raises(APIError, match="Another embedder made the stored vectors") as caught:
        service.rpc("search_chunks", {**arguments, "embedder": "another"}).execute()
    assert caught.value.code == EMBEDDER_MISMATCH


def test_an_answer_has_a_thousand_rows_and_range_pages_on(service: Client) -> None:
    def page(start: int, end: int) -> list[Any]:
        query = service.table("documents").select("document_id").order("document_id")
        return query.range(start, end).execute().data

    cut = service.table("documents").select("document_id").execute().data
    assert len(cut) == ROWS_PER_ANSWER
    pages = [page(0, 999), page(1000, 1999), page(2000, 2999)]
    assert [len(one) for one in pages] == [ROWS_PER_ANSWER, DOCUMENTS - ROWS_PER_ANSWER, 0]
    assert len({row["document_id"] for one in pages for row in one}) == DOCUMENTS


@pytest.mark.parametrize("table", TABLES)
def test_an_anonymous_key_sees_nothing_and_the_service_role_all(
    service: Client, anonymous: Client, table: str
) -> None:
    assert service.table(table).select("*").limit(3).execute().data
    try:
        assert anonymous.table(table).select("*").limit(3).execute().data == []
    except APIError as error:  # where not even the table may be read
        assert error.code == "42501"


def test_an_anonymous_search_finds_nothing(anonymous: Client, embedder: OnnxEmbedder) -> None:
    rows: list[Any] = []
    try:
        arguments = rpc_arguments(embedder, "tent")
        rows = anonymous.rpc("search_chunks", arguments).execute().data
    except APIError as error:
        assert error.code == "42501"
    assert [row for row in rows if row["chunk_id"]] == []


def test_an_anonymous_key_writes_nothing(anonymous: Client, service: Client) -> None:
    with pytest.raises(APIError) as caught:
        anonymous.table("collections").insert({"name": "intruder"}).execute()
    assert caught.value.code == "42501"
    assert [row["name"] for row in service.table("collections").select("name").execute().data] == [
        "shop"
    ]
