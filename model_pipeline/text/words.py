"""Words of a text and what among them may not change: numbers, names and what is denied."""

from __future__ import annotations

import re
from collections.abc import Sequence

import Stemmer

STOPWORDS = frozenset(
    """
    a an and are as at be been being but by can could did do does doing for from get had has have
    how i if in into is it its may me might must my of on or our shall should so some such than that
    the their them then there these they this those to us was we were what when where which while
    who whom whose why will with would you your about any between during each given one use used
    using tell explain describe please
    """.split()
)
WORD = re.compile(r"[^\W_]+")
BROKEN_WORD = re.compile(r"(?<=\w)-\n[ \t]*(?=\w)")  # at its own hyphen, by the end of a line
LINK = re.compile(r"!?\[([^\]]*)\]\([^)\s]*\)")
MARKS = re.compile(r"\*\*|``|(?<![\w*])\*(?=\S)|(?<=\S)\*(?![\w*])|^#{1,6}\s+|\s*\{[#.][\w\s.-]*\}")
TAGS = re.compile(r"</?[a-zA-Z][^>]{0,200}>")
BULLET = re.compile(r"^\s*(?:[-*+•]|\d{1,3}[.)])\s+")
NUMBER_MARK = re.compile(r"\[\d{1,3}\](?:_|\([^)]*\))?")
# Without any of this there is nothing for the above to take away.
MARKUP = re.compile(r"[*#{<\[]|``|-\n|\A\s*(?:[-+•]|\d{1,3}[.)])\s")
DENIES = re.compile(r"\b(?:not|no|never|none|neither|nor|cannot|without)\b|n['’]t\b", re.IGNORECASE)
# Capitals after the first word, and what is put together as in `max_tokens`, AsyncClient or v2.
NAME = re.compile(
    r"(?<=[\w,;:)\"'”’`(] )[(\"'“‘`]*[A-Z][\w]*|\w+_\w+|\b\w+[a-z][A-Z]\w*|\b[A-Z]{2,}\b"
)
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
SPELLED = {
    word: str(value)
    for value, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
        "fifteen sixteen seventeen eighteen nineteen twenty".split()
    )
} | {"thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "ninety": "90", "hundred": "100"}
LOOSE = frozenset({"zero", "one"})  # "one of them" counts nothing


def shown(text: str) -> str:
    """A stretch of a document as a reader wants it: one line, without its markup."""
    if not MARKUP.search(text):
        return " ".join(text.split())
    text = BROKEN_WORD.sub("-", BULLET.sub("", text))
    text = NUMBER_MARK.sub("", TAGS.sub("", LINK.sub(r"\1", text)))
    return " ".join(MARKS.sub("", text).split())


def numbers(text: str) -> set[str]:
    """The numbers in a text as digits: 1,000 is 1000, and so is no other way to write it."""
    found = {_digits(one) for one in NUMBER.findall(text)}
    words = set(WORD.findall(text.lower())) - LOOSE
    return found | {SPELLED[word] for word in words & SPELLED.keys()}


def _digits(number: str) -> str:
    if re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", number):
        number = number.replace(",", "")
    return number.lstrip("0") or "0"


def names(text: str) -> set[str]:
    """The stems of what a text calls by name; a sentence's first word is taken for none."""
    return terms(" ".join(NAME.findall(text)))


def denies(text: str) -> bool:
    return len(DENIES.findall(text)) % 2 == 1


def terms(text: str) -> set[str]:
    """The stems of the words that say something."""
    return stemmed([word for word in WORD.findall(text.lower()) if word not in STOPWORDS])


def stemmed(words: Sequence[str]) -> set[str]:
    return set(stems(words))


def stems(words: Sequence[str]) -> list[str]:
    found: list[str] = Stemmer.Stemmer("english").stemWords(words)  # made here: not thread-safe
    return found
