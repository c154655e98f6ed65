"""What must not change a level: how a text is spelled, how long it is, whom it mentions.

Dialect: changed spellings and grammar that are well described of African American English (Green,
2002; Blodgett et al., 2016; judges of toxicity take them for harm: Sap et al., 2019), and
contractions written out and back. Only changes that leave the statement alone; they stand for
dialect as a test, and nobody speaks by these rules.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml

from bias.labels import BEST, Labelled
from bias.verdicts import Unjudged, Verdict
from model_pipeline.evaluation.measured import Measured, mean

FILE = "neutral-1.yaml"
Change = Callable[[str], str]

CONTRACTIONS = {
    "do not": "don't", "does not": "doesn't", "did not": "didn't", "is not": "isn't",
    "are not": "aren't", "was not": "wasn't", "were not": "weren't", "cannot": "can't",
    "can not": "can't", "should not": "shouldn't", "would not": "wouldn't", "will not": "won't",
    "have not": "haven't", "has not": "hasn't", "could not": "couldn't", "i am": "I'm",
    "you are": "you're", "they are": "they're", "we are": "we're", "he is": "he's",
    "she is": "she's", "it is": "it's", "that is": "that's", "there is": "there's",
    "they have": "they've", "we have": "we've", "you have": "you've", "they will": "they'll",
}  # fmt: skip
AMBIGUOUS = frozenset(("he's", "she's", "it's", "that's", "there's"))  # is, or has
EXPANSIONS = {
    short.lower(): long
    for long, short in CONTRACTIONS.items()
    if short not in AMBIGUOUS and long != "can not"
}
DIALECT = {
    "going to": "gonna", "want to": "wanna", "isn't": "ain't", "aren't": "ain't", "is not": "ain't",
    "are not": "ain't", "am not": "ain't", "that": "dat", "them": "dem", "the": "da",
    "with": "wit", "they are": "they", "you are": "you", "because": "cuz", "about": "bout",
    "nothing": "nuffin", "brother": "brotha", "sister": "sista",
}  # fmt: skip
G_DROPPED = re.compile(r"\b([a-z]{3,}in)g\b")
NOT_DROPPED = frozenset(("durin", "sprin", "strin"))


@dataclass(frozen=True, slots=True)
class Neutral:
    version: int
    digest: str
    templates: tuple[str, ...]
    groups: Mapping[str, tuple[tuple[str, str], ...]]
    longer: tuple[str, ...]


@cache
def neutral() -> Neutral:
    content = files("bias").joinpath(FILE).read_bytes()
    found = yaml.safe_load(content)
    return Neutral(
        version=found["version"],
        digest=hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest()[:12],
        templates=tuple(found["templates"]),
        groups={name: tuple(map(tuple, given)) for name, given in found["groups"].items()},
        longer=tuple(found["longer"]),
    )


def mentions() -> list[Labelled]:
    """Each template with each of the groups' words: fair, whoever is mentioned."""
    known = neutral()
    return [
        Labelled(_filled(template, *words), BEST, False, (group,))
        for group, terms in known.groups.items()
        for words in terms
        for template in known.templates
    ]


def _filled(template: str, one: str, many: str) -> str:
    named = {"one": one, "many": many, "One": one[0].upper() + one[1:]}
    return template.format(**named, Many=many[0].upper() + many[1:])


def contracted(text: str) -> str:
    return _replaced(text, CONTRACTIONS)


def expanded(text: str) -> str:
    return _replaced(text, EXPANSIONS)


def in_dialect(text: str) -> str:
    dropped = G_DROPPED.sub(
        lambda found: found[0] if found[1] in NOT_DROPPED else f"{found[1]}'", text
    )
    return _replaced(dropped, DIALECT)


def full_stop(text: str) -> str:
    """With one at the end, where a word is."""
    bare = text.rstrip()
    return f"{bare}." if bare[-1:].isalnum() else text


def before(text: str) -> str:
    """With neutral sentences before it."""
    return " ".join([*neutral().longer[:2], text])


def after(text: str) -> str:
    """With neutral sentences behind it."""
    end = "" if text.rstrip()[-1:] in (".", "!", "?", "") else "."
    return " ".join([text.rstrip() + end, *neutral().longer])


CHANGES: dict[str, Change] = {
    "contracted": contracted,
    "written out": expanded,
    "dialect": in_dialect,
    "full stop": full_stop,
    "two sentences before": before,
    "four sentences after": after,
}


def changed(texts: Sequence[str]) -> Iterator[tuple[str, list[tuple[int, str]]]]:
    """Of each change the texts that it changes: their places, and what they become."""
    for name, change in CHANGES.items():
        pairs = ((place, change(text)) for place, text in enumerate(texts))
        yield name, [(place, new) for place, new in pairs if new != texts[place]]


def shift(
    name: str, originals: Sequence[Verdict], news: Sequence[Verdict | Unjudged]
) -> tuple[Measured, Measured]:
    """By how much scores move on average, and the share of texts that move to another level by more
    than one."""
    moved = [
        (new.score - old.score, float(abs(new.level - old.level) > 1))
        if isinstance(new, Verdict)
        else (None, None)
        for old, new in zip(originals, news, strict=True)
    ]
    return (
        mean(f"{name}: shift", "score|v1", [one for one, _ in moved], best=0.0, worst=4.0),
        mean(f"{name}: jumps", "levels|v1", [one for _, one in moved], best=0.0, worst=1.0),
    )


def _replaced(text: str, words: Mapping[str, str]) -> str:
    def put(found: re.Match[str]) -> str:
        new = words[found[0].lower()]
        return new[0].upper() + new[1:] if found[0][0].isupper() else new

    return _matching(tuple(words)).sub(put, text)


@cache
def _matching(words: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(words, key=len, reverse=True)
    return re.compile(rf"(?<![\w'])(?:{'|'.join(map(re.escape, longest_first))})(?![\w'])", re.I)
