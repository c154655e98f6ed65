"""Texts as tokens: mteval's 13a, by which BLEU is compared everywhere, and words of any script.

Both take any str: lone surrogates, NUL and text that runs right to left are characters like others.
"""

from __future__ import annotations

import re
from unicodedata import normalize

import regex

_WORD = re.compile(r"[^\W_]+")
# Beyond these characters there are marks, and scripts without spaces.
_BEYOND = re.compile("[\u0300-\u1fff\u20d0-\U0010ffff]")
# Scripts that put no space between words: a character, with its marks, is one.
_SPACELESS = (
    r"\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}"
)
_ALONE = rf"[[{_SPACELESS}]&&\p{{L}}]"
_WORD_BEYOND = regex.compile(
    rf"(?V1){_ALONE}\p{{M}}*|[[\p{{L}}\p{{N}}]--{_ALONE}][[\p{{L}}\p{{N}}\p{{M}}]--{_ALONE}]*"
)

_PUNCTUATION = r"!-&(-+/:-@\[-`{-~"  # of ASCII, without ' , - and .
_TOKEN_13A = re.compile(
    # a dash not after a digit, a period or comma between digits: part of what they stand in
    rf"(?:[^\s{_PUNCTUATION}.,-]++|(?<![0-9])-|(?<=[0-9])[.,](?=[0-9]))++|[{_PUNCTUATION}.,-]"
)
_PERIODS = re.compile("[.,]{2}[0-9]")  # the one case in which 13a looks further than one character
_PASSES_13A = (
    (re.compile(rf"([{_PUNCTUATION}])"), r" \1 "),
    (re.compile(r"([^0-9])([.,])"), r"\1 \2 "),
    (re.compile(r"([.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),
)


def tokens_13a(text: str) -> list[str]:
    """As sacrebleu's `13a` (mteval-v13a.pl): case is kept, punctuation stands alone, numbers stay
    whole. One pass, where sacrebleu takes four; a text of Chinese is one token."""
    text = text.rstrip().replace("<skipped>", "").replace("-\n", "")
    if "&" in text:
        for entity, character in (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")):
            text = text.replace(entity, character)
    if not _PERIODS.search(text):
        return _TOKEN_13A.findall(text)
    text = f" {text} "
    for pattern, apart in _PASSES_13A:
        text = pattern.sub(apart, text)
    return text.split()


def words(text: str) -> list[str]:
    """Runs of letters, digits and their marks in any script, without case (NFKC, case folded); a
    character each where words are written without spaces. Of ASCII text what rouge-score's own
    tokeniser finds without its stemmer; that one finds nothing in most other scripts."""
    text = normalize("NFKC", normalize("NFKC", text).casefold())
    pattern = _WORD_BEYOND if _BEYOND.search(text) else _WORD
    return list(pattern.findall(text))
