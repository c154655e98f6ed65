"""From a question to a verified answer, with the real embedder and passages in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_pipeline.domain import Answer, Claim, Draft, Passage, SearchResult, Turn
from model_pipeline.embedding.onnx_embedder import OnnxEmbedder
from model_pipeline.errors import InvalidInput, TooLarge
from model_pipeline.text.sentences import sentences
from model_pipeline.text.words import (
    BROKEN_WORD,
    BULLET,
    LINK,
    MARKS,
    MARKUP,
    NUMBER_MARK,
    TAGS,
    shown,
)
from rag_service.answer import (
    Answerer,
    CitationsVerified,
    Delta,
    Done,
    PassagesFound,
)
from rag_service.generate.extractive import Extractive
from rag_service.retrieve import MAX_QUESTION, Retriever, cleaned, maximal_marginal_relevance
from rag_service.verify import Verifier

HOURS = (
    "# Opening hours\n\nThe shop is open from Monday to Friday, from nine in the morning to six in "
    "the evening. It is closed on public holidays.\n\n"
)
RETURNS = (
    "# Returns\n\nYou can return a [tent](https://x.example) within 30 days of the purchase [3]. "
    "To return it you need:\n\n- the **receipt**\n- the original box\n- your bank details\n"
)


def passage(content: str, *, title: str = "Shop", start: int = 100) -> Passage:
    return Passage(uuid4(), uuid4(), "shop.md", title, (), content, {}, start, 0.03)


class FakeStore:
    """Hands out the same passages whatever is asked, and notes what was."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self.passages = passages
        self.asked: list[Mapping[str, Any]] = []

    async def search(self, **arguments: Any) -> SearchResult:
        self.asked.append(arguments)
        return SearchResult(tuple(self.passages[: arguments["k"]]), True, {"search": 1.0})


class FakeGenerator:
    name = "fake"

    def __init__(self, drafts: Sequence[Draft]) -> None:
        self._drafts = drafts

    async def generate(
        self, question: str, passages: Sequence[Passage], history: Sequence[Turn]
    ) -> AsyncGenerator[Draft]:
        for draft in self._drafts:
            yield draft


@pytest.fixture(scope="module")
def executor() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1)


def answerer(
    embedder: OnnxEmbedder,
    executor: ThreadPoolExecutor,
    passages: Sequence[Passage],
    drafts: Sequence[Draft] | None = None,
) -> Answerer:
    retriever = Retriever(embedder, FakeStore(passages), executor)
    generator = Extractive(embedder) if drafts is None else FakeGenerator(drafts)
    return Answerer(retriever, generator, "release")


def test_an_answer_quotes_what_answers(
    embedder: OnnxEmbedder, executor: ThreadPoolExecutor
) -> None:
    passages = [passage(HOURS), passage(RETURNS)]
    answer = asyncio.run(answerer(embedder, executor, passages).answer("When is the shop open?"))
    assert not answer.declined
    assert answer.answer.startswith("The shop is open from Monday to Friday")
    assert "[1]" in answer.answer
    first = answer.citations[0]
    assert first.quote in HOURS
    assert (first.start, first.end - first.start) == (
        100 + HOURS.find(first.quote),
        len(first.quote),
    )
    assert set(answer.timings_ms) == {"embed", "search", "generate", "verify", "total"}


def test_a_list_comes_with_its_lead_in(
    embedder: OnnxEmbedder, executor: ThreadPoolExecutor
) -> None:
    asked = answerer(embedder, executor, [passage(RETURNS)])
    answer = asyncio.run(asked.answer("What do I need to return it?")).answer
    assert "you need: the receipt; the original box; your bank details. [" in answer
    assert "http" not in answer
    assert "**" not in answer
    assert "[3]" not in answer


def test_a_remark_of_a_version_answers_only_what_asks_for_it(
    embedder: OnnxEmbedder, executor: ThreadPoolExecutor
) -> None:
    content = (
        "Changed in version 2.4: The shop statement may be used for wholesale, too.\n\n"
        "The shop statement is used for opening a shop in the morning."
    )
    asked = answerer(embedder, executor, [passage(content)])
    answer = asyncio.run(asked.answer("What is the shop statement used for?")).answer
    assert answer.startswith("The shop statement is used for opening") and "2.4" not in answer
    changed = asyncio.run(asked.answer("What changed in the shop statement?")).answer
    assert "Changed in version 2.4" in changed


def test_where_else_to_read_is_no_answer(
    embedder: OnnxEmbedder, executor: ThreadPoolExecutor
) -> None:
    content = (
        "The shop statement is used for opening a shop in the morning.\n\n"
        "See also:\n\n"
        "  **PEP 1** - The shop statement\n     What the shop statement is used for, in full.\n\n"
        "  **PEP 2** - The statement\n     The shop statement is used for more. See **PEP 3**.\n\n"
        "In the evening, too, the shop statement is used.\n"
    )
    asked = answerer(embedder, executor, [passage(content)])
    answer = asyncio.run(asked.answer("What is the shop statement used for?")).answer
    assert answer.startswith("The shop statement is used for opening") and "evening" in answer
    assert "PEP" not in answer and "for more" not in answer


def test_what_the_documents_do_not_say_is_declined(
    embedder: OnnxEmbedder, executor: ThreadPoolExecutor
) -> None:
    answer = asyncio.run(
        answerer(embedder, executor, [passage(HOURS)]).answer("Who painted the Mona Lisa?")
    )
    assert answer.declined
    assert answer.citations == ()
    assert answer.answer == "This is not in the documents. The nearest I found is about “Shop”."
    empty = asyncio.run(answerer(embedder, executor, []).answer("Anything?"))
    assert empty.declined
    assert empty.answer == "This is not in the documents."


def test_the_stream_says_the_same_as_the_answer(
    embedder: OnnxEmbedder, executor: ThreadPoolExecutor
) -> None:
    asked = answerer(embedder, executor, [passage(HOURS), passage(RETURNS)])

    async def events() -> list[Any]:
        return [event async for event in asked.stream("When is the shop open?")]

    found = asyncio.run(events())
    assert isinstance(found[0], PassagesFound)
    assert isinstance(found[-2], CitationsVerified)
    done = found[-1]
    assert isinstance(done, Done)
    text = "".join(event.text for event in found if isinstance(event, Delta))
    assert text == done.answer.answer
    assert found[-2].citations == done.answer.citations


def test_a_quote_that_does_not_stand_is_dropped_with_its_marker(
    embedder: OnnxEmbedder, executor: ThreadPoolExecutor
) -> None:
    drafts = [
        Draft("Invented. [1]", (Claim(1, 0, "It opens at noon."),)),
        Draft(" True. [2]", (Claim(2, 0, "It is closed on public holidays."),)),
        Draft(" Elsewhere. [3]", (Claim(3, 9, "anything"),)),
        Draft(" Unclaimed [7]."),
    ]
    answer = asyncio.run(
        answerer(embedder, executor, [passage(HOURS)], drafts).answer("Open when?")
    )
    assert answer.answer == "Invented. True. [1] Elsewhere. Unclaimed."
    assert answer.dropped_citations == 2
    assert [citation.n for citation in answer.citations] == [1]


def test_an_answer_without_a_standing_quote_is_taken_back(
    embedder: OnnxEmbedder, executor: ThreadPoolExecutor
) -> None:
    drafts = [Draft("Invented. [1]", (Claim(1, 0, "It opens at noon."),))]
    answer = asyncio.run(
        answerer(embedder, executor, [passage(HOURS)], drafts).answer("Open when?")
    )
    assert answer.declined
    assert answer.answer.startswith("This is not in the documents.")


def streamed(asked: Answerer) -> tuple[str, Answer]:
    """What was streamed, and the answer at its end."""

    async def events() -> list[Any]:
        return [event async for event in asked.stream("Open when?")]

    found = asyncio.run(events())
    assert isinstance(found[-1], Done)
    return "".join(one.text for one in found if isinstance(one, Delta)), found[-1].answer


def test_stretches_without_support_are_told(
    embedder: OnnxEmbedder, executor: ThreadPoolExecutor
) -> None:
    drafts = [
        Draft("\nSure! ", unsupported=True),
        Draft("Closed then. [1]", (Claim(1, 0, "It is closed on public holidays."),)),
        Draft("  Bring cash. ", unsupported=True, fallback="The model broke off."),
    ]
    text, answer = streamed(answerer(embedder, executor, [passage(HOURS)], drafts))
    assert text == answer.answer == "Sure! Closed then. [1]  Bring cash."
    marked = [answer.answer[one.start : one.end] for one in answer.unsupported]
    assert marked == ["Sure!", "Bring cash."]
    assert answer.fallback == "The model broke off."


def test_nothing_is_shown_that_is_taken_back(
    embedder: OnnxEmbedder, executor: ThreadPoolExecutor
) -> None:
    drafts = [Draft("Invented."), Draft(" Also invented.", unsupported=True)]
    text, answer = streamed(answerer(embedder, executor, [passage(HOURS)], drafts))
    assert answer.declined
    assert text == answer.answer
    assert text.startswith("This is not in the documents.")
    assert answer.unsupported == ()


def test_a_reader_who_leaves_stops_the_generator(
    embedder: OnnxEmbedder, executor: ThreadPoolExecutor
) -> None:
    stopped = []

    class Endless:
        name = "endless"

        async def generate(self, *_: Any) -> AsyncGenerator[Draft]:
            try:
                while True:
                    yield Draft("On. [1]", (Claim(1, 0, "It is closed"),))
            finally:
                stopped.append(True)

    async def leave() -> None:
        retriever = Retriever(embedder, FakeStore([passage(HOURS)]), executor)
        events = Answerer(retriever, Endless(), "release").stream("Open when?")
        async for event in events:
            if isinstance(event, Delta):
                break
        await events.aclose()
        assert stopped

    asyncio.run(leave())


@given(st.text(min_size=1, max_size=200), st.data())
def test_every_citation_is_its_place_in_the_document(content: str, data: st.DataObject) -> None:
    a, b = sorted(data.draw(st.tuples(*[st.integers(0, len(content))] * 2)))
    source = "before " + content + " after"
    verifier = Verifier([passage(content, start=7)])
    verifier.check(Draft("x [1]", (Claim(1, 0, content[a:b]),)))
    for citation in verifier.citations:
        assert source[citation.start : citation.end] == citation.quote == content[a:b]
    assert len(verifier.citations) + verifier.dropped == 1


@given(st.text(alphabet="ab .\n#-*`|[1]()!_:é>", max_size=300))
def test_sentences_are_in_order_and_apart(content: str) -> None:
    at = 0
    for sentence in sentences(content):
        assert at <= sentence.start < sentence.end <= len(content)
        at = sentence.end


def test_hard_wrapped_lines_are_one_sentence_and_abbreviations_end_none() -> None:
    content = "Use a mapping,\ne.g. a dict, for\nversion 3.11. Then stop.\n\n   x = f(1)\n"
    found = [(content[s.start : s.end], s.kind) for s in sentences(content)]
    assert found == [
        ("Use a mapping,\ne.g. a dict, for\nversion 3.11.", "text"),
        ("Then stop.", "text"),
        ("x = f(1)", "code"),
    ]


def test_an_indented_paragraph_is_not_broken_by_a_line_that_looks_like_code() -> None:
    content = (
        "   Defined here, it is automatically a\n   class method. It returns x.\n\n   class A:\n"
    )
    found = [(content[s.start : s.end], s.kind) for s in sentences(content)]
    assert found == [
        ("Defined here, it is automatically a\n   class method.", "text"),
        ("It returns x.", "text"),
        ("class A:", "code"),
    ]


def test_what_is_shown_has_no_markup() -> None:
    assert shown("- See **the** [docs](http://x.example/a) <b>now</b>,\n  `f()` [12]") == (
        "See the docs now, `f()`"
    )


@given(st.text(alphabet="ab1 .\n-#*+•`|[]()<>/{}!_)é", max_size=60))
def test_what_has_no_markup_is_shown_at_once(text: str) -> None:
    """The short way takes nothing away that the long one would."""
    if not MARKUP.search(text):
        assert BULLET.sub("", text) == BROKEN_WORD.sub("-", text) == text
        for pattern in (LINK, TAGS, NUMBER_MARK):
            assert not pattern.search(text)
        assert MARKS.sub("", text) == text


@pytest.mark.parametrize("question", ["", "  \n", "\0\x01", "\u202e"])
def test_an_empty_question_is_refused(question: str) -> None:
    with pytest.raises(InvalidInput, match="empty"):
        cleaned(question)


def test_a_question_is_cleaned_and_bounded() -> None:
    assert cleaned(" a\0b\ud800c\u202ed ") == "a b c d"
    with pytest.raises(TooLarge, match="8,000"):
        cleaned("x" * (MAX_QUESTION + 1))


def test_a_follow_up_is_searched_with_its_conversation(
    embedder: OnnxEmbedder, executor: ThreadPoolExecutor
) -> None:
    store = FakeStore([passage(HOURS), passage(RETURNS)])
    asked = Answerer(Retriever(embedder, store, executor), Extractive(embedder), "release")
    history = [Turn("user", "How do I return a tent?"), Turn("assistant", "With its receipt.")]
    question = "And within how many days?"
    asyncio.run(asked.answer(question, history=history))
    asyncio.run(asked.answer(question))
    (follow_up, alone), texts = store.asked, [question, history[0].content]
    assert alone["text"] == question
    assert follow_up["text"] == f"{question} return tent"
    vectors = embedder.embed(texts)
    pulled, own = follow_up["vector"], alone["vector"]
    assert np.linalg.norm(pulled) == pytest.approx(1, abs=1e-5)
    assert pulled @ vectors[1] > own @ vectors[1] + 0.1
    assert pulled @ own > pulled @ vectors[1]  # the question leads


def test_diversity_prefers_what_was_not_said() -> None:
    query = np.array([1, 0], dtype=np.float32)
    vectors = np.array([[1, 0], [0.99, 0.14], [0.6, 0.8]], dtype=np.float32)
    assert maximal_marginal_relevance(query, vectors, 2, 0.0) == [0, 1]
    assert maximal_marginal_relevance(query, vectors, 2, 0.7) == [0, 2]


def test_diversity_asks_the_store_for_more(
    embedder: OnnxEmbedder, executor: ThreadPoolExecutor
) -> None:
    store = FakeStore([passage(HOURS), passage(HOURS), passage(RETURNS)])
    retriever = Retriever(embedder, store, executor)
    result = asyncio.run(retriever.retrieve("opening hours", k=2, diversity=0.8))
    assert store.asked[0]["k"] == 6
    assert {one.content for one in result.passages} == {HOURS, RETURNS}
    assert isinstance(result.passages[0].chunk_id, UUID)


def test_a_word_broken_at_its_hyphen_is_whole_again() -> None:
    assert shown("the same “pre-\n   computed” value - or\n  not") == (
        "the same “pre-computed” value - or not"
    )
