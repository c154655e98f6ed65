"""What a sentence holds of a question, by stems."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_service.generate.words import WORD, coverage, stemmed


def held(question: str, *texts: str, above: str = "") -> list[float]:
    of = np.zeros(len(texts), dtype=np.intp)
    return coverage(question, texts, [above], of).tolist()


def test_words_count_by_their_stems_and_only_those_that_say_something() -> None:
    assert held("How do I return tents?", "Returning a tent.", "I do it.") == [1, 0]
    assert held("What is it?", "It is what it is.") == [0]
    assert held("Tents?") == []


def test_rare_words_say_more() -> None:
    common, rare = held("tent receipt", "A tent.", "The receipt.", "Tents.", "More tents.")[:2]
    assert rare > 0.5 > common
    assert common + rare == pytest.approx(1)


def test_words_of_a_heading_count_half_and_not_twice() -> None:
    texts = "A tent.", "A lamp."
    assert held("tent", *texts, above="Tents") == [1, 0.5]


@given(st.text(max_size=20))
def test_a_stem_begins_as_its_word(text: str) -> None:
    """Or words would be passed over that do have a stem of the question."""
    for word in WORD.findall(text.lower()):
        (stem,) = stemmed([word])
        assert stem[0] == word[0]


@pytest.mark.parametrize("word", ["dying", "skies", "idly", "yes", "generously", "ponies", "ties"])
def test_irregular_stems_begin_so_too(word: str) -> None:
    (stem,) = stemmed([word])
    assert stem[0] == word[0]
    assert held(f"{stem} {word}", word) == [1]
