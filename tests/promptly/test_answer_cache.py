"""Answers that are given again, on the real database: to whom, until when, and what never is."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from model_pipeline.domain import Answer, Turn
from model_pipeline.embedding.onnx_embedder import OnnxEmbedder
from model_pipeline.reembed import Reembed, back
from rag_service.answer import Delta, Done
from rag_service.answer_cache import CachedAnswerer, Scopes
from tests.models import open_tiny
from tests.promptly.asking import PEOPLE, House, house, user

QUESTION = "When does the shop open?"
AGAIN = "when does the shop open"
HOURS = "The shop opens at nine in the morning."
LATER = "The shop opens at ten in the morning."


@pytest.fixture(scope="module")
def opened(
    module_database: str,
    embedder: OnnxEmbedder,
    embedder_cache: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[House]:
    with house(module_database, embedder, embedder_cache, tmp_path_factory.mktemp("home")) as made:
        yield made


@pytest.fixture
def shop(opened: House) -> House:
    """One collection, that is Ann's, and an answer about it that is kept for her."""
    opened.run("delete from collections")
    opened.put("shop", "hours.md", HOURS)
    opened.put("shop", "tents.md", "Tents are returned within thirty days of the purchase.")
    opened.run("update collections set owner_id = %s", user("ann"))
    assert "nine" in opened.ask("ann", QUESTION).answer
    assert opened.ask("ann", QUESTION).cached
    return opened


def content(answer: Answer) -> tuple[object, ...]:
    passages = [one.chunk_id for one in answer.passages]
    return answer.answer, answer.declined, answer.citations, passages, answer.release_id


def test_the_same_again_is_a_serving_of_its_own(shop: House) -> None:
    first, second = shop.ask("ann", QUESTION), shop.ask("ann", AGAIN)
    assert first.cached and second.cached
    assert content(first) == content(second) == content(shop.ask_anew("ann", QUESTION))
    assert first.answer_id != second.answer_id
    assert set(second.timings_ms) == {"cache", "total"}
    assert not shop.ask_anew("ann", QUESTION).cached


@pytest.mark.parametrize(
    "question", ["When does the shop not open?", "Why does the shop open?", "What opens at 10?"]
)
def test_another_question_is_answered_anew(shop: House, question: str) -> None:
    assert not shop.ask("ann", question).cached


CHANGES: dict[str, Callable[[House], None]] = {
    "edit": lambda shop: shop.put("shop", "hours.md", LATER),
    "title": lambda shop: shop.run("update documents set title = 'New' where source = 'hours.md'"),
    "add": lambda shop: shop.put("shop", "sunday.md", "On Sundays the shop opens at noon."),
    "delete": lambda shop: shop.run("delete from documents where source = 'hours.md'"),
    "delete another": lambda shop: shop.run("delete from documents where source = 'tents.md'"),
    "delete the collection": lambda shop: shop.run("delete from collections"),
    "taken away": lambda shop: shop.run("update collections set owner_id = null"),
    "something more to read": lambda shop: shop.put("open", "a.md", "The bar opens at nine."),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_after_a_change_nothing_is_given_again(
    shop: House, change: Callable[[House], None]
) -> None:
    """By whichever replica was asked, though the change came from elsewhere."""
    shop.ask("ann", QUESTION, replica=1)
    assert shop.ask("ann", QUESTION, replica=1).cached
    change(shop)
    if change is CHANGES["something more to read"]:
        shop.run("update collections set visibility = 'public' where name = 'open'")
    for replica in (0, 1):
        answer = shop.ask("ann", QUESTION, replica)
        assert not answer.cached
        assert content(answer) == content(shop.ask_anew("ann", QUESTION))


def test_others_are_given_it_only_where_they_read_the_same(shop: House) -> None:
    for who in ("bob", "anybody"):
        answer = shop.ask(who, QUESTION)
        assert not answer.cached and answer.declined and not answer.passages
    shop.run(
        "insert into members (collection_id, user_id) select collection_id, %s from collections",
        user("bob"),
    )
    assert shop.ask("bob", QUESTION).cached
    shop.run("delete from members")
    assert not shop.ask("bob", QUESTION).cached
    shop.run("update collections set visibility = 'public'")
    assert shop.ask("anybody", QUESTION).cached
    shop.run("update collections set visibility = 'private'")
    assert not shop.ask("anybody", QUESTION).cached and not shop.ask("anybody", QUESTION).passages


def test_two_tenants_with_one_question_have_their_own(shop: House) -> None:
    shop.run("update collections set name = 'anns'")
    shop.put("shop", "hours.md", LATER)
    shop.run("update collections set owner_id = %s where name = 'shop'", user("bob"))
    shop.run("update collections set name = 'shop'")  # the same name, an owner each
    for collection in (None, "shop"):
        for _ in range(2):
            assert "nine" in shop.ask("ann", QUESTION, collection=collection).answer
            bobs = shop.ask("bob", QUESTION, collection=collection)
            assert "ten" in bobs.answer and "nine" not in str(bobs)
        assert bobs.cached


def test_what_is_asked_otherwise_is_not_the_same(shop: House) -> None:
    assert not shop.ask("ann", QUESTION, k=4).cached
    assert not shop.ask("ann", QUESTION, filter={"lang": "en"}).cached
    assert not shop.ask("ann", QUESTION, history=[Turn("user", "Hello.")]).cached
    assert shop.ask("ann", QUESTION, collection="shop").cached  # all that she reads
    assert shop.ask("ann", QUESTION).cached


def test_no_answer_is_looked_for_anew(shop: House) -> None:
    for _ in range(2):
        answer = shop.ask("ann", "Who painted the ceiling?")
        assert answer.declined and not answer.cached


def test_a_stream_has_the_same_events(shop: House) -> None:
    async def events(question: str) -> list[object]:
        _, answerer = shop.replicas[0].acting_for(PEOPLE["ann"])
        return [event async for event in answerer.stream(question)]

    question = "How long can tents be returned?"
    first, second = shop.wait(events(question)), shop.wait(events(question))
    assert first[:-1] == second[:-1] and any(isinstance(one, Delta) for one in first)
    one, other = first[-1], second[-1]
    assert isinstance(one, Done) and isinstance(other, Done)
    assert (one.answer.cached, other.answer.cached) == (False, True)
    assert content(one.answer) == content(other.answer)


def test_another_release_answers_anew(shop: House) -> None:
    _, answerer = shop.replicas[0].acting_for(PEOPLE["ann"])
    assert isinstance(answerer, CachedAnswerer)
    answerer._release_id = "another"
    assert not shop.wait(answerer.answer(QUESTION)).cached
    assert shop.wait(answerer.answer(QUESTION)).cached
    assert shop.ask("ann", QUESTION).release_id != "another"


def test_of_many_at_once_one_is_worked_out(shop: House) -> None:
    shop.put("shop", "hours.md", HOURS + " ")

    async def many() -> list[Answer]:
        asked = [shop.replicas[0].acting_for(PEOPLE["ann"])[1] for _ in range(8)]
        return list(await asyncio.gather(*(one.answer(QUESTION) for one in asked)))

    answers: list[Answer] = shop.wait(many())
    assert sorted(one.cached for one in answers) == [False] + [True] * 7
    assert len({one.answer_id for one in answers}) == 8


class Between:
    """An asker's scope, with an edit before it is read or after it."""

    def __init__(self, scopes: Scopes, edit: Callable[[], None], *, first: bool) -> None:
        self._scopes, self._edit, self._first = scopes, edit, first

    async def scope(self, collection: str | None, embedder: str) -> str | None:
        if self._first:
            await asyncio.to_thread(self._edit)
        found = await self._scopes.scope(collection, embedder)
        if not self._first:
            await asyncio.to_thread(self._edit)
        return found


def ask_with_an_edit(shop: House, question: str, *, first: bool) -> tuple[Answer, bool]:
    """The answer, and whether the question's vector was there when the edit began."""
    _, answerer = shop.replicas[0].acting_for(PEOPLE["ann"])
    assert isinstance(answerer, CachedAnswerer)
    embedded: list[bool] = []

    def edit() -> None:
        deadline = time.monotonic() + 5  # as long as it takes, where it is embedded at all
        while first and answerer._embedder.remembered([question]) is None:
            if time.monotonic() > deadline:
                break
            time.sleep(0.001)
        embedded.append(answerer._embedder.remembered([question]) is not None)
        shop.put("shop", "hours.md", LATER)

    answerer._scopes = Between(answerer._scopes, edit, first=first)
    answer: Answer = shop.wait(answerer.answer(question))
    return answer, embedded == [True]


def test_the_database_and_the_embedder_are_asked_at_the_same_time(shop: House) -> None:
    """And what was committed until the version is read counts, though the vector was there."""
    answer, embedded_before = ask_with_an_edit(shop, AGAIN, first=True)
    assert embedded_before
    assert "ten" in answer.answer and not answer.cached


def test_the_very_same_question_is_given_again_without_its_vector(shop: House) -> None:
    _, answerer = shop.replicas[0].acting_for(PEOPLE["ann"])
    assert isinstance(answerer, CachedAnswerer)
    assert shop.wait(answerer.answer(QUESTION)).cached
    assert answerer._embedder.remembered([QUESTION]) is None


@pytest.mark.parametrize("question", [QUESTION, AGAIN])
def test_an_edit_after_the_version_was_read_is_the_next_askers(shop: House, question: str) -> None:
    """Who asked before it was committed is given what held then; who asks now, is not."""
    answer, _ = ask_with_an_edit(shop, question, first=False)
    assert "nine" in answer.answer and answer.cached
    for _ in range(2):
        after = shop.ask("ann", question)
        assert "ten" in after.answer
    assert after.cached


def test_what_was_found_after_an_edit_is_not_kept_as_of_before(shop: House) -> None:
    question = "At what time of the morning is the shop opened?"
    answer, _ = ask_with_an_edit(shop, question, first=False)
    assert "ten" in answer.answer and not answer.cached
    assert [shop.ask("ann", question).cached for _ in range(2)] == [False, True]
    shop.put("shop", "hours.md", HOURS)
    assert "nine" in shop.ask("ann", question).answer


def test_a_miss_tells_what_the_look_up_took(shop: House) -> None:
    timings = shop.ask("ann", "How long after the purchase are tents returned?").timings_ms
    assert set(timings) == {"cache", "embed", "search", "generate", "verify", "total"}
    assert all(ms >= 0 for ms in timings.values()) and timings["embed"] > 0
    stages = sum(ms for stage, ms in timings.items() if stage != "total")
    assert stages <= timings["total"]


PROCESS = """
import asyncio, sys
from model_pipeline.store.connect import open_pool
from model_pipeline.store.pg_store import PgStore
from promptly import serving
from promptly.settings import Settings
async def main(database, question, pool):
    async with serving.answering(Settings(), database, PgStore(pool)) as parts:
        for _ in sys.stdin:
            answer = await parts.acting_for(None)[1].answer(question)
            print(answer.cached, answer.answer, flush=True)
with open_pool(sys.argv[1], min_size=1, max_size=1) as pool:
    asyncio.run(main(*sys.argv[1:], pool))
"""


def test_another_process_gives_nothing_that_was_edited_here(
    shop: House, embedder_cache: Path, tmp_path: Path
) -> None:
    (tmp_path / "cache").symlink_to(embedder_cache)
    with subprocess.Popen(
        [sys.executable, "-c", PROCESS, shop.database, QUESTION],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PROMPTLY_HOME": str(tmp_path)},
    ) as process:  # fmt: skip

        def ask() -> str:
            assert process.stdin and process.stdout
            print(file=process.stdin, flush=True)
            return process.stdout.readline()

        for hours in ("nine", "ten", "eleven"):
            shop.put("shop", "hours.md", f"The shop opens at {hours} in the morning.")
            shop.run("update collections set owner_id = null")
            first, second = ask(), ask()
            assert first.startswith("False") and second.startswith("True")
            assert hours in first and hours in second


def test_another_embedder_answers_anew(
    shop: House, tiny_models: dict[str, str], embedder: OnnxEmbedder
) -> None:
    released = shop.ask("ann", QUESTION).release_id
    Reembed(shop.database, open_tiny(tiny_models["alike"])).run()
    assert not shop.ask("ann", QUESTION).cached
    shop.ask_anew("ann", QUESTION)  # which has it follow, too
    for cached in (False, True):
        after = shop.ask("ann", QUESTION)
        assert after.cached == cached and after.release_id != released
        assert content(after) == content(shop.ask_anew("ann", QUESTION))
    back(shop.database, open_embedder=lambda _: embedder)
    for ask in (shop.ask, shop.ask_anew):
        assert not ask("ann", QUESTION).cached
    again = shop.ask("ann", QUESTION)
    assert again.release_id == released
    assert content(again) == content(shop.ask_anew("ann", QUESTION))
