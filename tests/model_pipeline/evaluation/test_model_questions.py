"""A model's questions: kept where they stand by themselves and their answer is in the passage."""

from __future__ import annotations

import asyncio

import pytest

from model_pipeline.evaluation.generated import Source
from model_pipeline.evaluation.model_questions import ModelQuestions, parse
from model_pipeline.evaluation.questions import Asked

PASSAGE = "The shop opens at nine.\nIt is closed  on Sundays, as are all\nshops in Bern."
GOOD = "Question: When does the shop in Bern open?\nAnswer: The shop opens at nine."


def test_what_is_asked_for_is_read() -> None:
    assert parse(GOOD, PASSAGE) == Asked(
        "When does the shop in Bern open?", "The shop opens at nine.", "model"
    )
    spaced = GOOD.replace("The shop opens at nine.", "“It is closed on Sundays, as are all shops”")
    found = parse(f"\n{spaced}\n", PASSAGE)
    assert found and found.sentence == "It is closed  on Sundays, as are all\nshops"


@pytest.mark.parametrize(
    "written",
    [
        "",
        "When does the shop open?",
        GOOD.replace("open?", "open."),
        GOOD.replace("nine.", "ten."),  # not in the passage
        GOOD.replace("When does the shop in Bern open?", "Shop?"),
        GOOD.replace("Bern", "this passage"),
        GOOD.replace("Bern", "the text"),
        GOOD.replace("open?", "open " + "very " * 50 + "soon?"),
        f"Sure! Here it is:\n{GOOD}",
        "Question: When does the shop open, please?\nAnswer: ",
        "I will not do that.",
    ],
)
def test_what_does_not_stand_is_dropped(written: str) -> None:
    assert parse(written, PASSAGE) is None


def test_a_search_must_find_the_passage_and_the_passage_is_fenced() -> None:
    prompts: list[tuple[str, str]] = []

    async def write(system: str, user: str) -> str:
        prompts.append((system, user))
        return GOOD

    async def ask(*found: str) -> Asked | None:
        async def search(question: str) -> list[str]:
            assert question == "When does the shop in Bern open?"
            return list(found)

        return await ModelQuestions(write, search).ask(Source("a.md", PASSAGE))

    assert asyncio.run(ask("other", PASSAGE)) is not None
    assert asyncio.run(ask("other")) is None
    system, user = prompts[0]
    fence = user.splitlines()[0].removeprefix("<passage-").removesuffix(">")
    assert len(fence) == 12 and fence not in PASSAGE
    assert f"</passage-{fence}>" in system and "{fence}" not in system
    assert user == f"<passage-{fence}>\n{PASSAGE}\n</passage-{fence}>"


def test_the_name_tells_the_prompt() -> None:
    async def nothing(*_: str) -> str:
        return ""

    async def none(_: str) -> list[str]:
        return []

    name, _, digest = ModelQuestions(nothing, none).name.rpartition("-")
    assert name == "question-1" and len(digest) == 12
