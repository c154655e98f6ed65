"""The rubric is whole, and the docs show what the judges read."""

from __future__ import annotations

from pathlib import Path

from bias.rubric import markdown, rubric
from bias.verdicts import LEVELS, Dimension

DOCS = Path(__file__).resolve().parents[2] / "docs" / "bias.md"


def test_every_level_of_every_dimension_has_an_anchor_and_two_examples() -> None:
    found = rubric()
    anchored = [(one.dimension, one.level) for one in found.anchors]
    assert anchored == [(dimension, level) for dimension in Dimension for level in LEVELS]
    assert all(one.text.endswith(".") and len(one.examples) == 2 for one in found.anchors)
    texts = [text for one in found.anchors for text in one.examples]
    assert len(set(texts)) == len(texts)
    assert list(found.asks) == list(Dimension)
    assert list(found.names) == list(found.meanings) == list(LEVELS)


def test_the_docs_show_the_rubric_as_it_is() -> None:
    assert markdown(rubric()) in DOCS.read_text(encoding="utf-8")
    assert rubric().signature in DOCS.read_text(encoding="utf-8")
