"""Nothing in a shown text hides or reorders the rest; nothing in a name is unseen."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_pipeline.shown import named, shown


@pytest.mark.parametrize(
    "text",
    ["שלום (עולם) 123", "می‌خواهم", "👩‍💻 ❤️", "a\u200bb", "\u200fא\u200e", "tab\tand\nline"],
)
def test_text_of_every_script_is_shown_as_it_is(text: str) -> None:
    assert shown(text) == text


@pytest.mark.parametrize("one", "\u202e \u202b \u2066 \u2069 \x1b \x9b \0 \x08 \U000e0041".split())
def test_what_reorders_or_hides_is_seen(one: str) -> None:
    assert shown(f"pay {one}100{one} now") == "pay \ufffd100\ufffd now"
    assert named(f"a{one}.md") == f"a<U+{ord(one):04X}>.md"


@pytest.mark.parametrize("name", ["/docs/שלום.md", "می‌خواهم.pdf", "👩‍💻 ❤️.md", "ünï (1).txt"])
def test_names_of_every_script_are_kept(name: str) -> None:
    assert named(name) == name


def test_names_that_look_alike_differ() -> None:
    names = ["a.md", "a\u200d.md", "a\u200b.md", "a\u00ad.md", "\ufeffa.md", "a.md\ufe0f", "a.md\n"]
    assert len({named(name) for name in names}) == len(names)
    assert all(named(name).isascii() for name in names)


@given(st.text())
def test_offsets_stay_and_names_are_stable_and_storable(text: str) -> None:
    assert len(shown(text)) == len(text)
    name = named(text)
    assert named(name) == name
    name.encode()
    assert not any(unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") for one in name)
    assert not any(unicodedata.bidirectional(one) in BIDI for one in name)


BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
