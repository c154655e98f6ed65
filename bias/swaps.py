"""Texts with the people in them changed for others: the same words otherwise, and good grammar.

What stands for whom is in data/identities.yaml. A swap exchanges two groups of one axis: where
words are counterparts of each other, swapping twice gives the text back, and every change knows its
place before and after. "neutral" is a third gender that the other two can be turned into, and which
is never turned back: "they" may be several.

Known limits: nobody is recognised who is not in the file; a name that is also a place's or a
thing's is changed with the rest; and one text's "Christian" may be a first name.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from bias import pronouns
from bias.words import Word, following, words

GENDER, NEUTRAL = "gender", "neutral"
LONGEST = 2  # words of one term
TITLES = frozenset("mr ms mrs miss mx dr prof".split())
VOWEL_SOUND = ("hon", "hour", "heir")
CONSONANT_SOUND = ("uni", "use", "usu", "eu", "one", "once", "uk")
NO_ADJECTIVE = pronouns.NO_NOUN | frozenset(
    "said says say thinks thought goes went came comes lives lived works worked wants wanted told "
    "asked believes believed asks needs wears".split()
)
LINKING = frozenset(
    "is are was were be being been am isn't aren't wasn't become became feel feels not also very "
    "openly devoutly".split()
)
ARTICLES = frozenset("a an the this that each every another one my your his her our their".split())


@dataclass(frozen=True, slots=True)
class Change:
    """`text[start:end] == before` became `swapped[new_start:new_end] == after`."""

    start: int
    end: int
    new_start: int
    new_end: int
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Swapped:
    """`missing` are words of the one group that the other has none for: they still stand."""

    text: str
    changes: tuple[Change, ...]
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Table:
    """Terms in lower case of one group to those of another; None where it has none."""

    words: Mapping[str, str | None]
    adjectives: Mapping[str, str | None]
    as_adjective: Mapping[str, str | None]
    names: Mapping[str, str | None]
    surnames: Mapping[str, str | None]


@cache
def axes() -> dict[str, tuple[str, ...]]:
    """The groups of each axis, "neutral" not among them."""
    return {name: tuple(axis["groups"]) for name, axis in _data()["axes"].items()}


@cache
def version() -> str:
    """Of the terms: number and hash."""
    text = _source()
    return f"identities-{_data()['version']}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def exchange(text: str, axis: str, a: str, b: str) -> Swapped:
    """`a`'s words become `b`'s and the other way round; with "neutral" for `b` only the one way.
    Raises ValueError for groups that the axis does not have."""
    groups = axes()[axis]
    if a == b or a not in groups or b not in (*groups, *_neutral(axis)):
        raise ValueError(f"{axis} has the groups {groups}, not {a} and {b}")
    pairs = [(a, b)] if b == NEUTRAL else [(a, b), (b, a)]
    found = words(text)
    edits: list[tuple[int, int, str]] = []
    missing: list[str] = []
    at = 0
    while at < len(found):
        size, after = _replaced(text, found, at, axis, pairs)
        if size and after is None:
            missing.append(text[found[at].start : found[at + size - 1].end])
        elif size and after is not None:
            edits += _edits(text, found, at, size, after, neutral=b == NEUTRAL)
        at += size or 1
    return _applied(text, edits, tuple(missing))


def groups_in(text: str, axis: str) -> frozenset[str]:
    """The groups of the axis that the text names."""
    found = words(text)
    groups = axes()[axis]
    # Few words can be such terms: no others are looked at more closely.
    places = [at for at, one in enumerate(found) if one.lower in _first_words(axis)]
    return frozenset(
        one
        for index, one in enumerate(groups)
        if any(_replaced(text, found, at, axis, [(one, groups[index - 1])])[0] for at in places)
    )


def _neutral(axis: str) -> tuple[str, ...]:
    return (NEUTRAL,) if axis == GENDER else ()


def _replaced(
    text: str, found: Sequence[Word], at: int, axis: str, pairs: Sequence[tuple[str, str]]
) -> tuple[int, str | None]:
    """How many words from `at` on are a term (0 for none), and what they become (None: nothing)."""
    if not found[at].prose:
        return 0, None
    if axis == GENDER:
        for a, b in pairs:
            previous = found[at - 1].lower if at and not found[at].gap else ""
            place = pronouns.place(found[at].lower, a, previous, following(found, at))
            if place is not None and (place == pronouns.SUBJECT or not found[at].suffix):
                return 1, pronouns.FORMS[b][place]
    for size in range(min(LONGEST, len(found) - at), 0, -1):
        if any(one.gap or not one.prose for one in found[at + 1 : at + size]):
            continue
        if any(one.suffix for one in found[at : at + size - 1]):
            continue
        term = " ".join(one.lower for one in found[at : at + size])
        if term + found[at + size - 1].suffix.lower() in _kept() or _in_kept(found, at, size):
            return 0, None
        for a, b in pairs:
            table = _table(axis, a, b)
            for terms in _applicable(table, text, found, at, size):
                if term in terms:
                    return size, terms[term]
    return 0, None


def _applicable(
    table: _Table, text: str, found: Sequence[Word], at: int, size: int
) -> Iterator[Mapping[str, str | None]]:
    """The tables that a term at this place may be found in."""
    after = following(found, at + size - 1, 1) if not found[at + size - 1].suffix else []
    if after and after[0].removesuffix("'s") in _people():
        yield table.adjectives
    if _is_adjective(found, at, after):
        yield table.as_adjective
    yield table.words
    yield table.as_adjective
    if found[at].text[0].isupper():
        yield table.names
        if found[at].lower in table.surnames and _is_surname(table, text, found, found[at].text):
            yield table.surnames


def _is_adjective(found: Sequence[Word], at: int, after: Sequence[str]) -> bool:
    """Of a word that may be a noun too."""
    before = found[at - 1].lower if at and not found[at].gap else ""
    if before in LINKING or (after and after[0] in _people() | _things()):
        return True
    return bool(after) and after[0] not in NO_ADJECTIVE and before not in ARTICLES


def _is_surname(table: _Table, text: str, found: Sequence[Word], name: str) -> bool:
    """It follows a first name, an initial or a title somewhere in the text."""
    for before, one in itertools.pairwise(found):
        between = text[before.end : one.start]
        if one.text == name and between in (" ", ". "):
            first = before.lower in table.names or before.lower in TITLES
            if first or (len(before.text) == 1 and before.text.isupper() and "." in between):
                return True
    return False


def _in_kept(found: Sequence[Word], at: int, size: int) -> bool:
    """It is part of a phrase that stays."""
    beside = [one.lower for one in found[max(0, at - 1) : at + size + 1]]
    return any(f"{one} {two}" in _kept() for one, two in itertools.pairwise(beside))


def _edits(
    text: str, found: Sequence[Word], at: int, size: int, after: str, *, neutral: bool
) -> Iterator[tuple[int, int, str]]:
    """What to put where: the term itself, its possessive, the article before it, the verb of
    "they"."""
    start, end = found[at].start, found[at + size - 1].end
    before = text[start:end]
    suffix = found[at + size - 1].suffix
    new = _cased(after, before)
    article = found[at - 1] if at and not found[at].gap else None
    if article and article.lower in ("a", "an") and article.prose and not article.suffix:
        right = "an" if _sounds_vowel(before) else "a"
        changed = "an" if _sounds_vowel(new) else "a"
        if article.lower == right != changed:
            yield article.start, article.end, _cased(changed, article.text)
    verb: tuple[int, int, str] | None = None
    if neutral and after == "they":
        contracted = pronouns.they_contracted(suffix, following(found, at))
        if contracted != suffix:
            new, end = new + contracted, end + len(suffix)
        elif not suffix:
            verb = _verb(found, at)
    else:
        new, end = _possessive(text, new, end, suffix)
    if verb and verb[0] < start:
        yield verb
    yield start, end, new
    if verb and verb[0] > start:
        yield verb


def _verb(found: Sequence[Word], at: int) -> tuple[int, int, str] | None:
    """The verb of a pronoun that becomes "they": before it in a question, else after it."""
    if at and not found[at].gap:
        before = found[at - 1]
        asked = pronouns.PLURAL.get(before.lower)
        first = at == 1 or before.gap or found[at - 2].lower in pronouns.NO_NOUN
        if asked and first and before.prose:
            return before.start, before.end, _cased(asked, before.text)
    for one in found[at + 1 : at + 4]:
        if one.gap or not one.prose:
            return None
        if pronouns.may_stand_between(one.lower):
            continue
        plural = pronouns.with_they(one.lower)
        if plural == one.lower or one.suffix:
            return None
        return one.start, one.end, _cased(plural, one.text)
    return None


def _possessive(text: str, new: str, end: int, suffix: str) -> tuple[str, int]:
    """ "the boys' room" and "the ladies' room": plurals without s take one."""
    if suffix in ("'s", "’s") and new.endswith("s") and _is_plural(new):
        return new + suffix[0], end + 2
    if not suffix and text[end - 1 : end] == "s" and text[end : end + 1] in ("'", "’"):
        alone = not text[end + 1 : end + 2].isalnum()
        if alone and not new.endswith("s"):
            return f"{new}{text[end]}s", end + 1
    return new, end


def _is_plural(word: str) -> bool:
    return word.lower() in _plurals()


def _cased(new: str, before: str) -> str:
    """With the capitals of what it replaces."""
    if len(before) > 1 and before.isupper():
        return new.upper()
    return new[0].upper() + new[1:] if before[0].isupper() else new.lower()


def _sounds_vowel(word: str) -> bool:
    low = word.lower()
    if low.startswith(VOWEL_SOUND):
        return True
    return low[0] in "aeiou" and not low.startswith(CONSONANT_SOUND)


def _applied(text: str, edits: Sequence[tuple[int, int, str]], missing: tuple[str, ...]) -> Swapped:
    pieces: list[str] = []
    changes: list[Change] = []
    last = length = 0
    for start, end, new in edits:
        length += start - last
        pieces += [text[last:start], new]
        changes.append(Change(start, end, length, length + len(new), text[start:end], new))
        length += len(new)
        last = end
    pieces.append(text[last:])
    return Swapped("".join(pieces), tuple(changes), missing)


@cache
def _source() -> str:
    return files("bias").joinpath("data", "identities.yaml").read_text(encoding="utf-8")


@cache
def _data() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(_source())
    return loaded


@cache
def _people() -> frozenset[str]:
    return frozenset(_data()["people"].split())


@cache
def _things() -> frozenset[str]:
    return frozenset(_data()["things"].split())


@cache
def _kept() -> frozenset[str]:
    return frozenset(_data()["kept"])


@cache
def _plurals() -> frozenset[str]:
    """Terms that are several people by their s: those whose row has a plural like it."""
    terms = [
        word.replace("_", " ")
        for axis in _data()["axes"].values()
        for row in axis.get("words", ())
        for word in row.split()
    ]
    return frozenset(one.lower() for one in terms if one.endswith("s") and one[:-1] in terms) | {
        "ladies", "wives",
    }  # fmt: skip


@cache
def _first_words(axis: str) -> frozenset[str]:
    """Those that a term of the axis can begin with, in lower case."""
    pairs = itertools.permutations(axes()[axis], 2)
    terms = {
        term
        for table in (_table(axis, a, b) for a, b in pairs)
        for kind in (table.words, table.adjectives, table.as_adjective, table.names, table.surnames)
        for term in kind
    }
    forms = {one for form in pronouns.FORMS.values() for one in form}
    return frozenset(
        term.split()[0].lower() for term in (*terms, *(forms if axis == GENDER else ()))
    )


@cache
def _table(axis: str, a: str, b: str) -> _Table:
    data = _data()["axes"][axis]
    one_way = dict(
        row.replace("_", " ").split(" ", 1) for row in data.get("one_way", {}).get(b, ())
    )
    if b == NEUTRAL:
        mine = {word for row in data["words"] for word in [row.split()[axes()[axis].index(a)]]}
        also = {"Mrs", "Miss"} if a == "female" else set()
        neutral = {one.lower(): to for one, to in one_way.items() if one in mine | also}
        return _Table(neutral, {}, {}, {}, {})
    from_at, to_at = (axes()[axis].index(one) for one in (a, b))

    def terms(kind: str) -> dict[str, str | None]:
        rows = [[word.replace("_", " ") for word in row.split()] for row in data.get(kind, ())]
        return {
            row[from_at].lower(): None if row[to_at] == "-" else row[to_at]
            for row in rows
            if row[from_at] != "-"
        }

    found = terms("words")
    for one, to in one_way.items():
        found.setdefault(one.lower(), to)
    return _Table(
        found, terms("adjectives"), terms("as_adjective"), terms("names"), terms("surnames")
    )
