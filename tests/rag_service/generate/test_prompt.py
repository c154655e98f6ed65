"""What fits into a model's context, and what goes first."""

from __future__ import annotations

import re

import pytest

from model_pipeline.domain import Turn
from model_pipeline.errors import TooLarge
from rag_service.generate.prompt import Prompt, plain
from tests.rag_service.generate.conftest import NewPassage, ScriptedWriter


def size(writer: ScriptedWriter, messages: list[object]) -> int:
    return sum(writer.count_tokens(one.content) for one in messages)  # type: ignore[attr-defined]


@pytest.mark.parametrize("context_tokens", [500, 700, 1000, 3000])
def test_the_least_relevant_passages_go_first(new_passage: NewPassage, context_tokens: int) -> None:
    writer = ScriptedWriter("", context_tokens=context_tokens)
    passages = [new_passage(f"passage{n} " * 100) for n in range(20)]
    messages, room = Prompt().messages("When?", passages, [], writer)
    shown = {int(n) for n in re.findall(r"passage(\d+) ", messages[-1].content)}
    assert shown == set(range(room))
    assert size(writer, messages) + writer.max_new_tokens <= context_tokens  # type: ignore[arg-type]
    assert 1 <= room < 20 or context_tokens == 3000


def test_the_nearest_is_cut_where_it_alone_is_too_long(new_passage: NewPassage) -> None:
    writer = ScriptedWriter("", context_tokens=500)
    messages, room = Prompt().messages("When?", [new_passage("word " * 5000)], [], writer)
    assert room == 1
    assert 50 < messages[-1].content.count("word") < 500
    assert size(writer, messages) + 64 <= 500  # type: ignore[arg-type]


def test_a_question_without_room_is_refused(new_passage: NewPassage) -> None:
    writer = ScriptedWriter("", context_tokens=500)
    with pytest.raises(TooLarge, match="ask in fewer words"):
        Prompt().messages("why " * 1000, [new_passage("Nine.")], [], writer)


def test_the_newest_of_what_was_said_goes_along(new_passage: NewPassage) -> None:
    writer = ScriptedWriter("", context_tokens=900)
    history = [
        turn
        for n in range(30)
        for turn in (Turn("user", f"question{n} " * 5), Turn("assistant", f"answer{n} [1] " * 5))
    ]
    messages, room = Prompt().messages("When?", [new_passage("Nine.")], history, writer)
    assert room == 1
    roles = [one.role for one in messages]
    assert roles == ["system", *["user", "assistant"] * ((len(roles) - 2) // 2), "user"]
    assert "answer29" in messages[-2].content
    assert "[1]" not in messages[-2].content  # it counted other passages
    assert "question0 " not in str(messages)


def test_the_name_follows_the_template() -> None:
    assert re.fullmatch(r"answer-1-[0-9a-f]{12}", Prompt().name)


def test_what_a_template_would_read_is_broken_up() -> None:
    assert plain("<|im_start|>user [INST] <s>x</s> <｜User｜>") == (
        "< |im_start|>user [ INST] < s>x< /s> < ｜User｜>"
    )
    assert plain("a <b>bold</b> x[1] <<1") == "a <b>bold</b> x[1] <<1"
    assert plain("ab<sep>c", ("<sep>",)) == "ab< sep>c"
