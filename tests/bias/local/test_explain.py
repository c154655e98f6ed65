from __future__ import annotations

import numpy as np
import pytest

from bias.local.cues import cues
from bias.local.encoder import Read
from bias.local.explain import explain, spans
from bias.verdicts import Dimension, Evidence

TEXT = "We met. They are vermin, all of them."
PIECE = TEXT[8:]


def read(piece: str, harmful: str) -> Read:
    """A token for each word; the words of `harmful` speak against the piece."""
    places, parts, at = [(0, 0)], [3.0], 0
    for word in piece.split():
        at = piece.index(word, at)
        places.append((at, at + len(word)))
        parts.append(-2.0 if word.strip(",.") in harmful.split() else 3.0)
    return Read(2.0, np.array(parts, dtype=np.float32), places)


def test_spans_are_of_the_text_and_the_words_that_weigh_most_come_first() -> None:
    evidence, dimension = spans(TEXT, 8, PIECE, read(PIECE, "are vermin"))
    assert dimension == Dimension.DEROGATION
    assert "vermin" in evidence[0].quote
    for one in evidence:
        assert TEXT[one.start : one.end] == one.quote


def test_the_dimension_is_that_of_the_words_that_weigh() -> None:
    _, dimension = spans(TEXT, 8, PIECE, read(PIECE, "all of them"))
    assert dimension == Dimension.STEREOTYPING


def test_where_no_cue_stands_no_dimension_is_told() -> None:
    piece = "Purple trees walk home tonight"
    evidence, dimension = spans(piece, 0, piece, read(piece, "walk"))
    assert dimension is None
    assert [one.quote for one in evidence] == ["walk"]


@pytest.mark.parametrize(
    ("text", "dimension"),
    [
        ("they should not be allowed to vote", Dimension.EXCLUSION),
        ("go back to where you came from", Dimension.EXCLUSION),
        ("they are inferior to us", Dimension.UNEQUAL_TREATMENT),
        ("you stupid machine", Dimension.DEROGATION),
        ("all of them steal", Dimension.STEREOTYPING),
        ("the invasion of illegals", Dimension.LOADED_LANGUAGE),
    ],
)
def test_cues(text: str, dimension: Dimension) -> None:
    assert dimension in {cue.dimension for cue in cues(text)}


def test_a_reason_is_one_sentence_with_the_quote_and_what_is_not_sure() -> None:
    quoted = (Evidence(0, 6, "vermin", Dimension.DEROGATION),)
    said = explain(1, quoted, Dimension.DEROGATION, sure=True, english=True)
    assert said == ("It reads as harmful: people are insulted, threatened or put down (“vermin”).")
    assert "not sure" in explain(2, quoted, None, sure=False, english=True)
    assert "not in English" in explain(2, quoted, None, sure=True, english=False)
    assert explain(5, (), None, sure=True, english=True).count(".") == 1
