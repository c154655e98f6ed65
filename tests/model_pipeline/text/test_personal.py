from __future__ import annotations

import pytest

from model_pipeline.text.personal import REDACTED, redacted


def text_of(text: str) -> str:
    return "".join(piece for piece, _ in redacted(text))


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Write to jo.doe+x@mail.example.org today.", f"Write to {REDACTED} today."),
        ("It is jo@mail.example.org.", f"It is {REDACTED}."),
        ("Call +49 (170) 123 45 67 or wait.", f"Call {REDACTED} or wait."),
        ("Pay to DE89 3704 0044 0532 0130 00 now.", f"Pay to {REDACTED} now."),
        ("Hi, my name is Anna Maria Meyer and I ask.", f"Hi, {REDACTED} and I ask."),
        ("Ich heiße Jürgen Groß. Danke.", f"{REDACTED}. Danke."),
        ("The password is hunter2 by default.", f"The {REDACTED} by default."),
        ("In 1999 and 2024 it was 5 to 3.", "In 1999 and 2024 it was 5 to 3."),
        ("", ""),
    ],
)
def test_what_looks_personal_is_taken_out_and_nothing_else(text: str, left: str) -> None:
    assert text_of(text) == left


def test_marks_stay_on_their_words() -> None:
    text = "All of them lie. Ask jo@example.org why they steal."
    marks = [(0, 16), (text.index("jo@"), text.index(" why")), (text.index("steal"), len(text) - 1)]
    assert [piece for piece in redacted(text, marks) if piece[1]] == [
        ("All of them lie.", True),
        (REDACTED, True),
        ("steal", True),
    ]
    assert text_of(text) == text.replace("jo@example.org", REDACTED)


def test_a_mark_that_reaches_into_what_is_personal_shows_none_of_it() -> None:
    text = "He is jo@example.org and bad."
    pieces = redacted(text, [(3, 10)])
    assert "".join(piece for piece, _ in pieces) == f"He is {REDACTED} and bad."
    assert [piece for piece, marked in pieces if marked] == ["is ", REDACTED]
