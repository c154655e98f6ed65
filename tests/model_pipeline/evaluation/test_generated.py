"""Test sets of a corpus: balanced, the same for the same seed, their sources known."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from model_pipeline.errors import ModelUnavailable
from model_pipeline.evaluation.generated import (
    FAILURES,
    Candidate,
    Source,
    answerable,
    by_model,
    by_rules,
    chosen,
    unanswerable,
)
from model_pipeline.evaluation.questions import Asked

THINGS = "kettle lantern compass rope tent stove bottle jacket".split()


def passages(document: str, *things: str) -> list[Source]:
    return [
        Source(document, f"The {thing} of Bern is used for work number {n}.")
        for n, thing in enumerate(things)
    ]


def test_a_question_knows_the_sentence_and_the_source() -> None:
    (example,) = answerable(by_rules([Source("a.md", "* The *kettle* of Bern is used for tea.")]))
    assert example.question == "What is the kettle of Bern used for?"
    assert example.references == ("The kettle of Bern is used for tea.",)
    assert (example.relevant, example.answerable) == ({"a.md": 1}, True)
    assert example.tags == {"question_type": "purpose"}


def test_what_two_documents_answer_has_both_and_what_more_answer_is_not_asked() -> None:
    said = [Source(f"{n}.md", f"The kettle of Bern is used for work number {n}.") for n in range(3)]
    (both,) = answerable(by_rules(said[:2]))
    assert both.relevant == {"0.md": 1, "1.md": 1}
    assert len(both.references) == 2
    assert by_rules(said) == []
    # The same sentence again is one answer, as in an overlap of passages.
    (same,) = by_rules([said[0], said[0], Source("copy.md", said[0].content)])
    assert list(same.answers) == ["0.md"]


def test_documents_take_turns_and_so_do_kinds() -> None:
    many = [Candidate(f"many {n}?", "purpose", {"many.md": "x"}) for n in range(50)]
    many.append(Candidate("many time?", "time", {"many.md": "x"}))
    few = [Candidate(f"few {n}?", "purpose", {"few.md": "x"}) for n in range(2)]
    found = chosen([*many, *few], n=6, seed=1)
    assert Counter(next(iter(one.answers)) for one in found) == {"many.md": 4, "few.md": 2}
    assert [one.kind for one in found if one.kind == "time"] == ["time"]


def test_the_seed_decides_and_nothing_else() -> None:
    candidates = by_rules([one for n in range(8) for one in passages(f"{n}.md", THINGS[n])])
    assert len(candidates) == 8
    first = chosen(candidates, n=4, seed=7)
    assert first == chosen(list(candidates), n=4, seed=7)
    assert first != chosen(candidates, n=4, seed=8)
    assert len(chosen(candidates, n=100, seed=7)) == 8


def test_unanswerable_questions_are_those_whose_words_the_corpus_lacks() -> None:
    candidates = [Candidate(f"{n}?", "time", {f"{n}.md": "x"}) for n in range(4)]
    found = unanswerable(candidates, lambda texts: [0, 1, 2, 5], n=10, seed=0)
    assert {one.question for one in found} == {"2?", "3?"}
    assert all(one.answerable is False and not one.references for one in found)
    assert all(one.relevant is None for one in found)


def test_a_model_is_asked_document_by_document_until_there_are_enough() -> None:
    asked: list[str] = []

    async def ask(passage: Source) -> Asked | None:
        asked.append(passage.source)
        if passage.source == "bad.md":
            return None
        return Asked(f"Of {passage.content}?", passage.content, "model")

    corpus = [Source(name, f"{name} {n}") for name in ("a.md", "b.md", "bad.md") for n in range(9)]
    told: list[int] = []
    found = asyncio.run(by_model(corpus, ask, n=4, seed=0, progress=told.append))
    assert Counter(next(iter(one.answers)) for one in found) == {"a.md": 2, "b.md": 2}
    assert told == [1, 2, 3, 4]
    assert len(asked) <= 6
    assert asyncio.run(by_model(corpus[-9:], ask, n=4, seed=0)) == []


@pytest.mark.parametrize("n", [1, 3])
def test_no_more_than_asked_for(n: int) -> None:
    candidates = [Candidate(f"{i}?", "time", {f"{i % 5}.md": "x"}) for i in range(20)]
    assert len(chosen(candidates, n=n, seed=0)) == n


def test_a_passage_that_the_model_fails_for_is_left_out_and_a_model_that_is_gone_is_told() -> None:
    asked: list[Source] = []
    corpus = passages("a.md", *THINGS)

    async def every_third(passage: Source) -> Asked | None:
        asked.append(passage)
        if len(asked) % 3:
            raise ModelUnavailable("It is gone.")
        return Asked(f"What of {passage.content}?", passage.content, "model")

    assert len(asyncio.run(by_model(corpus, every_third, n=4, seed=0))) == 2
    assert len(asked) == len(corpus)
    asked.clear()

    async def gone(passage: Source) -> Asked | None:
        asked.append(passage)
        raise ModelUnavailable("It is gone.")

    with pytest.raises(ModelUnavailable):
        asyncio.run(by_model(corpus, gone, n=4, seed=0))
    assert len(asked) == FAILURES
