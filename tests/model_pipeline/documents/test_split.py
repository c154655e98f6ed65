"""Chunks partition their document, within the budget, along its structure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from model_pipeline.documents.found import FieldNames, ReadLimits, from_text
from model_pipeline.documents.read import read
from model_pipeline.documents.split import SPECIAL_TOKENS, Splitter
from model_pipeline.domain import Document, Section

MAX_TOKENS = 64


def count_words(texts: Sequence[str]) -> list[int]:
    return [len(re.findall(r"\w+|[^\w\s]", text)) for text in texts]


SPLITTER = Splitter(count_words, max_tokens=MAX_TOKENS)


def markdown(text: str) -> Document:
    found = from_text("page.md", text.encode(), title=None, metadata={})
    (document,) = read(found, FieldNames(), limits=ReadLimits())
    assert isinstance(document, Document)
    return document


lines = st.one_of(
    st.just(""),
    st.text("abc .!?é東\u200b|", max_size=60),
    st.sampled_from(
        ["# Top", "## Under", "### Deep", "- item one", "1. first", "```", "| a | b |"]
    ),
    st.text("xy", min_size=300, max_size=400),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(lines, min_size=1, max_size=40).map("\n".join).filter(lambda text: text.strip()))
def test_chunks_partition_any_markdown(text: str) -> None:
    document = markdown(text)
    chunks = SPLITTER.split(document)
    assert "".join(chunk.content for chunk in chunks) == document.content
    assert [chunk.ordinal for chunk in chunks] == list(range(len(chunks)))
    at = 0
    for chunk in chunks:
        assert (chunk.start, chunk.end) == (at, at + len(chunk.content))
        assert chunk.content.strip()
        assert count_words([chunk.content])[0] <= MAX_TOKENS - SPECIAL_TOKENS
        at = chunk.end
    assert SPLITTER.split(document) == chunks


def test_a_heading_stands_with_what_follows() -> None:
    body = "one two three four five six seven eight nine ten. " * 2
    text = f"# Guide\n\n## Install\n\n{body}\n\n## Run\n\n{body}\n"
    chunks = SPLITTER.split(markdown(text))
    assert [chunk.heading_path for chunk in chunks] == [("Guide", "Install"), ("Guide", "Run")]
    assert chunks[0].content.startswith("# Guide")
    assert chunks[1].content.startswith("## Run")


def test_neighbours_under_one_heading_share_a_chunk() -> None:
    chunks = SPLITTER.split(markdown("# A\n\nfirst part.\n\nsecond part.\n\nthird part.\n"))
    assert len(chunks) == 1


def test_code_stays_whole_where_it_fits() -> None:
    code = "```python\n" + "\n".join(f"line{n} = {n}" for n in range(9)) + "\n```"
    chunks = SPLITTER.split(markdown("word " * 50 + "\n\n" + code + "\n\n" + "word " * 50))
    assert any(code in chunk.content for chunk in chunks)


def test_a_context_is_not_said_twice() -> None:
    (chunk,) = SPLITTER.split(markdown("# Opening hours\n\nMonday to Friday.\n"))
    assert chunk.context("Opening hours") == "Opening hours"
    assert chunk.text_to_embed("Opening hours") == chunk.content
    assert chunk.text_to_embed("Shop").startswith("Shop\n")


def test_what_comes_split_stays_so() -> None:
    long = "word " * 500
    document = Document(
        "id", "", long + "tail", pre_chunked=(Section(0, 2500), Section(2500, 2504))
    )
    assert [chunk.content for chunk in SPLITTER.split(document)] == [long, "tail"]


def test_a_megabyte_without_spaces_splits_in_linear_work() -> None:
    def counted(length: int) -> int:
        """How many characters the splitter has tokens counted of."""
        characters = 0

        def count(texts: Sequence[str]) -> list[int]:
            nonlocal characters
            characters += sum(map(len, texts))
            return count_words(texts)

        document = Document("x", "", "x" * length)
        chunks = Splitter(count, max_tokens=MAX_TOKENS).split(document)
        assert "".join(chunk.content for chunk in chunks) == document.content
        assert max(len(chunk.content) for chunk in chunks) < 1000
        return characters

    assert counted(1_000_000) < 12 * counted(100_000)
