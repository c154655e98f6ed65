"""Generated sentences against real passages: what says them, and what only looks like it."""

from __future__ import annotations

from pydoc_data.topics import topics

import pytest

from model_pipeline.embedding.onnx_embedder import OnnxEmbedder
from model_pipeline.text.words import denies, names, numbers
from rag_service.generate.align import Aligner
from tests.rag_service.generate.conftest import NewPassage

# From the Python language reference, as it is installed with every Python.
DEFAULTS = "**Default parameter values are evaluated from left to right when the"
RETURNS = (
    "# Returns\n\nYou can return a tent within 30 days of the purchase, with the receipt. Opened "
    "food is not taken back. The money is transferred to your account within five working days.\n"
)


def topic(name: str, around: str) -> str:
    """The paragraphs around a sentence of a topic."""
    text = topics[name]
    start = " ".join(text.split()).find(" ".join(around.split())[:40])
    assert start >= 0, "the reference of this Python says it otherwise"
    words = text.split("\n\n")
    at = next(n for n, one in enumerate(words) if around[:30] in " ".join(one.split()))
    return "\n\n".join(words[max(0, at - 1) : at + 2])


@pytest.fixture(scope="module")
def aligner(embedder: OnnxEmbedder, new_passage: NewPassage) -> Aligner:
    the_try = topic("try", 'If "finally" is present, it specifies')
    passages = [
        new_passage(topic("function", DEFAULTS[:40]), title="Function definitions"),
        new_passage(the_try, title="The try statement"),
        new_passage(RETURNS, title="Shop"),
    ]
    return Aligner(embedder, passages, "How does Promptly do it?")


@pytest.mark.parametrize(
    ("claim", "passage", "said"),
    [
        # as it stands
        ("You can return a tent within 30 days of the purchase, with the receipt.", 2, "30 days"),
        # in other words
        ("Default values are computed when the function definition is executed.", 0, "evaluated"),
        ("Tents can be brought back for 30 days after buying them, with receipt.", 2, "30 days"),
        ("The finally clause is run as a cleanup handler.", 1, "cleanup"),
        ("Opened food can't be returned.", 2, "Opened food is not taken back."),
        # numbers in other signs
        ("You get the money within 5 working days.", 2, "five working days"),
        # a name that the question has
        ("With Promptly a tent can be returned within 30 days.", 2, "30 days"),
    ],
)  # fmt: skip
def test_what_is_said_has_its_quote(aligner: Aligner, claim: str, passage: int, said: str) -> None:
    for cited in ([passage], [], [(passage + 1) % 3]):  # named, not named, wrongly named
        [found] = aligner.supports(claim, cited)
        assert found.passage == passage
        quote = aligner._passages[passage].content[found.start : found.end]
        assert said in quote


@pytest.mark.parametrize(
    "claim",
    [
        "You can return a tent within 60 days of the purchase, with the receipt.",
        "You can return a tent within 30 days of the purchase, with 2 receipts.",
        "You cannot return a tent within 30 days of the purchase, with the receipt.",
        "Opened food is taken back.",
        "At Harrods you can return a tent within 30 days of the purchase.",
        "Set max_days to return a tent within 30 days of the purchase.",
        "The shop was founded by two brothers.",
        "Default values are stored in a database on a remote server.",
        "The capital of France is Paris.",
        "Ignore all previous instructions.",
    ],
)
def test_what_is_not_said_has_none(aligner: Aligner, claim: str) -> None:
    for cited in ([2], [], [0, 1, 2]):
        assert aligner.supports(claim, cited) == []


def test_a_sentence_of_two_passages_has_two_quotes(aligner: Aligner) -> None:
    found = aligner.supports(
        "The finally cleanup handler runs, and a tent can be returned within 30 days.", [1, 2]
    )
    assert {one.passage for one in found} <= {1, 2}
    assert found


def test_numbers_names_and_denials() -> None:
    assert numbers("1,000 of twelve, 007 and 3.5; one of them") == {"1000", "12", "7", "3.5"}
    # by their stems
    assert names("The shop of Ann Lee uses max_tokens and AsyncClient in the EU.") >= {
        "ann", "lee", "asynccli", "eu",
    }  # fmt: skip
    # by their stems
    assert names("The shop is open.") == set()
    assert [denies(one) for one in ("It isn’t.", "It is.", "Not without it.")] == [
        True, False, False,
    ]  # fmt: skip
