"""Statements: what a text says, one by one, and how each says it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from model_pipeline.evaluation.amounts import Amount, amounts, digits
from model_pipeline.text.sentences import sentences
from model_pipeline.text.words import LOOSE, SPELLED, STOPWORDS, denies, names, shown, stems

WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W_]+")
# What says only that there is no answer: "I do not have that information", "The documents do not
# say", "Not mentioned in the context". Written from the refusals of half of MTRAG-UN's tasks.
_WHO = (
    r"I|we|documents?|documentation|passages?|the context|texts?|sources?|answers?|information|"
    r"there"
)
_NOT = r"not|cannot|unable|no|neither|lacks?|without"
_KNOWN = (
    r"information|info|details?|knowledge|know|knowing|answer\w*|data|aware|find|found|mention\w*|"
    r"specif\w+|provide[sd]?|sure|help|assist|advise|confirm|says?|state[sd]?|contain\w*|name|"
    r"recommendation|discuss\w*|address\w*"
)
_PLACE = r"documents?|documentation|context|passages?|sources?|texts?"
DECLINES = re.compile(
    rf"\b(?:{_WHO})\b[^.;:]{{0,60}}?(?:\b(?:{_NOT})\b|n['’]t\b)[^.;:]{{0,40}}?\b(?:{_KNOWN})\b"
    rf"|^(?:no|not (?:enough|mentioned|specified|found|in the))\b.{{0,40}}"
    rf"\b(?:information|answers?|details?|mentioned|{_PLACE})\b"
    r"|\bnot (?:mentioned|specified|provided|stated|found|in|covered|available)\b.{0,30}"
    rf"\b(?:{_PLACE})\b|\bas an AI\b",
    re.IGNORECASE,
)
# After this a sentence that declines says something all the same.
_YET = re.compile(
    r"\b(?:but|however|nevertheless|although|though|that said)\b[,\s]*", re.IGNORECASE
)
MIN_TOLD = 3  # words that say something
# What is polite and says nothing.
COURTESY = re.compile(
    r"\b(?:thank(?:s| you)|you(?:['’]re| are) welcome|(?:happy|glad) to (?:help|assist)|"
    r"hope (?:this|that|it) (?:helps|answers)|let me know|feel free|anything else|"
    r"(?:good|great|excellent) (?:question|thing to ask))\b|^(?:sure|certainly|of course)[!.,]*$|"
    r"^\W*(?:i[’']?m |i am |we are |we[’']re )?(?:very |so )?sorry\b\W*(?:\w+\W+){0,5}$|"
    r"\bapologi[sz]e for (?:the|any|that|my)\b\W*(?:\w+\W+){0,3}$",
    re.IGNORECASE,
)


VERDICT = re.compile(
    r"^\W*(?:(yes|yeah|yep|correct|that(?:['’]s| is) (?:right|correct|true)|true|absolutely)"
    r"|(no|nope|incorrect|false|not really|that(?:['’]s| is) (?:wrong|not correct|incorrect)))"
    r"(?:[,.;:!]|\s*$|\s(?=you|it|we|they|he|she|there|this|that|i)\b)",
    re.IGNORECASE,
)
# What asks for a yes or a no.
POLAR = re.compile(
    r"(?:^|[,.;:]|\b(?:and|but|so|or)\b)\W{0,5}(?:is|are|am|was|were|do|does|did|can|could|will|would|"
    r"should|has|have|had|may|must)\s+\w",
    re.IGNORECASE,
)
# Words of denial that deny nothing: "not only", "no later than".
_IDIOMS = re.compile(
    r"\b(?:not (?:only|just|to mention|limited to)|no (?:more|less|later|sooner|fewer|matter|doubt"
    r"|longer than)|whether or not|or not|if not|why not)\b",
    re.IGNORECASE,
)
_FAILS = re.compile(
    r"\b(?:unable|impossible|fails? to|failed to|lacks?|lacked|refuses? to)\b",
    re.IGNORECASE,
)
# A sentence's first word is a name where another name follows it.
_FIRST_NAME = re.compile(r"\W*[A-Z]\w+(?=\s+[A-Z]\w)")
_AGREEING = frozenset({"correct", "right", "s", "true"})
_LIST_NUMBER = re.compile(r"\(?\d{1,2}[.)]")


@dataclass(frozen=True)
class Statement:
    """A sentence, a list item, a heading or a row, as it is shown. `order` are the stems of the
    words that say something, as they come."""

    text: str
    order: tuple[str, ...]

    @cached_property
    def terms(self) -> frozenset[str]:
        return frozenset(self.order)

    @cached_property
    def bigrams(self) -> frozenset[tuple[str, str]]:
        return frozenset(zip(self.order, self.order[1:], strict=False))

    @cached_property
    def amounts(self) -> frozenset[Amount]:
        return amounts(self.text)

    @cached_property
    def names(self) -> frozenset[str]:
        first = _FIRST_NAME.match(self.text)
        return frozenset(names(self.text)) | frozenset(_order(first[0]) if first else ())

    @cached_property
    def verdict(self) -> int:
        """1 where it begins with a yes, -1 with a no, else 0."""
        found = VERDICT.match(self.text)
        return 0 if found is None else 1 if found[1] else -1

    @cached_property
    def denies(self) -> bool:
        """Of what follows a yes or no; "no longer" and "unable" deny, "not only" does not."""
        text = _IDIOMS.sub(" ", VERDICT.sub("", self.text))
        return denies(text) != (len(_FAILS.findall(text)) % 2 == 1)

    @cached_property
    def declines(self) -> bool:
        found = DECLINES.search(self.text)
        if found is None:
            return False
        told = _YET.search(self.text, found.end())
        return told is None or len(_order(self.text[told.end() :])) < MIN_TOLD

    @cached_property
    def claims(self) -> bool:
        """Whether it says something that can be right or wrong."""
        asks = self.text.endswith("?")
        return bool(self.order) and not (asks or self.declines or self.polite)

    @cached_property
    def polite(self) -> bool:
        return COURTESY.search(self.text) is not None

    @cached_property
    def slight(self) -> bool:
        """Whether it says something only where nothing else is said: a yes or no, a list's number
        or its introduction."""
        return (
            self.text.endswith(":")
            or _LIST_NUMBER.fullmatch(self.text) is not None
            or (self.verdict != 0 and not set(_order(VERDICT.sub("", self.text))) - _AGREEING)
        )


def statement(text: str) -> Statement:
    return Statement(text, _order(text))


def statements(text: str) -> tuple[Statement, ...]:
    text = text.encode("utf-8", "replace").decode()  # lone surrogates
    pieces = [shown(text[one.start : one.end]) for one in sentences(text)]
    return tuple(Statement(piece, _order(piece)) for piece in pieces if piece)


def _order(text: str) -> tuple[str, ...]:
    words = [word for word in WORD.findall(text.lower()) if word not in STOPWORDS]
    return tuple(stems([_counted(word) for word in words]))


def _counted(word: str) -> str:
    if word[0].isdigit():
        return digits(word)
    return word if word in LOOSE else SPELLED.get(word, word)
