"""Answers in another language than their question: the plainly wrong alone."""

from __future__ import annotations

import pytest

from model_pipeline.evaluation.examples import Example, Prediction
from model_pipeline.evaluation.language import in_language, language

ENGLISH = "The shop opens at nine, and it is closed on Sundays for the whole of the day."
GERMAN = "Der Laden wird um neun geöffnet und ist am Sonntag nicht auf, auch für die Kunden."
FRENCH = (
    "Le magasin ouvre à neuf heures et il est fermé le dimanche pour les clients dans la ville."
)
CHINESE = "商店九点开门，星期天整天不营业，请您周一再来。"
JAPANESE = "お店は九時に開きます。日曜日は休みですので、月曜日に来てください。"
RUSSIAN = "Магазин открывается в девять, а в воскресенье он закрыт весь день."


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (ENGLISH, "English"), (GERMAN, "German"), (FRENCH, "French"), (CHINESE, "Cjk"),
        (RUSSIAN, "Cyrillic"), ("Nine.", None), ("", None), ("42 + 17", None),
        ("Zürich Hauptbahnhof", "Latin"), ("def main(): return x_1", "Latin"),
        ("\ud800 \0 \ufffd", None), ("🙂" * 50, None),
    ],
)  # fmt: skip
def test_what_a_text_tells(text: str, name: str | None) -> None:
    assert language(text) == name


def wrong(question: str, answer: str, *references: str) -> bool:
    example = Example("a", question, references=references)
    return in_language(example, Prediction("a", answer)).error is not None


def test_another_language_is_an_error_by_name() -> None:
    example = Example("a", "When does the shop open, and is it for all of us?")
    found = in_language(example, Prediction("a", CHINESE))
    assert found.error == "The answer is in another language than English."
    assert found.answer == CHINESE
    assert wrong("When does the shop open, and is it for all of us?", GERMAN)
    assert wrong("Wann wird der Laden geöffnet und ist er auch am Sonntag auf?", ENGLISH)
    assert wrong("Когда открывается магазин по воскресеньям?", ENGLISH)


def test_what_may_be_right_is_left() -> None:
    assert not wrong("When does the shop open in the morning?", ENGLISH)
    assert not wrong("When does the shop open in the morning?", "Um neun.")  # too short to tell
    assert not wrong("open?", GERMAN)  # the question does not tell
    assert not wrong(
        "When does the shop open in the morning?", GERMAN, GERMAN
    )  # the reference does
    assert not wrong("商店几点开门，星期天营业吗？", JAPANESE)  # of one writing
    assert not wrong("When is it?", "x = [1, 2, 3]; print(x)")
    declined = Prediction("a", GERMAN, declined=True)
    assert in_language(Example("a", ENGLISH), declined) == declined
    failed = Prediction("a", GERMAN, error="It broke.")
    assert in_language(Example("a", ENGLISH), failed) == failed
