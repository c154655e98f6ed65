"""Which parts of a test set have figures of their own."""

from __future__ import annotations

from model_pipeline.evaluation.examples import Example
from model_pipeline.evaluation.slices import slices

ENGLISH = "What is the time at which the shop in the town opens?"
GERMAN = "Wann ist der Laden in der Stadt für die Leute auf und nicht zu?"
SHORT = "Tea?"


def parts(*examples: Example) -> dict[tuple[str, str], list[bool]]:
    return {key: list(map(bool, of)) for key, of in slices(examples).items()}


def asked(*questions: str, **tags: str) -> list[Example]:
    return [
        Example(example_id=str(n), question=one, answerable=True, tags=tags)
        for n, one in enumerate(questions)
    ]


def test_languages_are_found_where_questions_show_two() -> None:
    found = parts(*asked(ENGLISH, GERMAN, SHORT, ENGLISH))
    languages = {value: of for (by, value), of in found.items() if by == "language"}
    assert languages == {
        "English": [True, False, False, True],
        "German": [False, True, False, False],
        "not known": [False, False, True, False],
    }
    assert not any(by == "language" for by, _ in parts(*asked(ENGLISH, SHORT)))


def test_a_tag_that_tells_languages_is_believed() -> None:
    examples = [*asked(ENGLISH, GERMAN, language="de"), *asked(SHORT, language="fr")]
    languages = {value: of for (by, value), of in parts(*examples).items() if by == "language"}
    assert languages == {"de": [True, True, False], "fr": [False, False, True]}
