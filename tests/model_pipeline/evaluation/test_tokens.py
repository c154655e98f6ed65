import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.tokenize import tokenize as rouge_tokens
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

from model_pipeline.evaluation.tokens import tokens_13a, words

SACREBLEU = Tokenizer13a()
# What 13a looks at, and enough else to stand between.
TRICKY = st.text(st.sampled_from("a5.,-' \n\t&;(é漢\x1f\xa0<>\"@_~"), max_size=14)
ENTITIES = st.sampled_from(["&quot;", "&amp;lt;", "<skipped>", "-\n", "...5", "1,000.5", "3-4"])


@settings(max_examples=600)
@given(st.lists(st.one_of(TRICKY, ENTITIES, st.text(max_size=8)), max_size=5).map("".join))
def test_13a_is_sacrebleus(text: str) -> None:
    assert tokens_13a(text) == SACREBLEU(text.rstrip()).split()


@settings(max_examples=200)
@given(st.text(st.characters(max_codepoint=127), max_size=60))
def test_words_of_ascii_are_rouge_scores(text: str) -> None:
    assert words(text) == rouge_tokens(text, None)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Die Straße, 2. STOCK", ["die", "strasse", "2", "stock"]),
        ("cafe\u0301 = café", ["café", "café"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("שלום, עולם!", ["שלום", "עולם"]),
        ("东京タワーです。", [*"东京タワーです"]),
        ("서울 2024년", ["서울", "2024년"]),
        ("ที่ RAG", ["ที่", "rag"]),
        ("snake_case", ["snake", "case"]),
        ("❤️ 👍🏽 — …", []),
        ("a\x00b \ud800 c", ["a", "b", "c"]),
    ],
)
def test_words_of_any_script(text: str, found: list[str]) -> None:
    assert words(text) == found


def test_hostile_lines_are_tokens_like_others(shared_data: Path) -> None:
    for line in json.loads((shared_data / "blns" / "blns.json").read_text("utf-8")):
        assert tokens_13a(line) == SACREBLEU(line.rstrip()).split()
        if line.isascii():
            assert words(line) == rouge_tokens(line, None)
