"""A follow-up to what is searched: the question, with what it leans on from the turns before.

The rule needs no model. The question keeps its own words and leads: the last exchange only pulls
its vector a little (`context`), and the two words that this conversation is about are looked for
beside its own (`words`), unless it says itself what it is about. benchmarks/conversation.py
measures it on two halves of MTRAG-UN's conversations.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import Stemmer

from model_pipeline.domain import Turn

QUESTION_WEIGHT = 0.3
ANSWER_WEIGHT = 0.4
CARRIED_WORDS = 2
EXCHANGES = 2
# Of one turn; what it is about stands at its beginning.
CHARACTERS = 300
# Up to so many words of its own, a question is taken to leave something out.
SHORT = 3
# The share of its words that the last exchange has too, from which it stays with its topic.
SHARED = 0.34
# A word counts once for each turn that has it, and less by this with each exchange back.
AGED = 0.5
# From so much on, a word that the last question does not have is carried too.
REPEATED = 1.5

WORD = re.compile(r"[^\W_]{2,}")
POINTS_BACK = re.compile(
    r"\b(?:it|its|they|them|their|theirs|this|that|these|those|he|she|him|her|his|ones?|there|same|"
    r"others?|another|else|both|either|former|latter|above|such|instead|mentioned|said)\b|"
    r"^\s*(?:and|but|or|so|then|also|ok|why|(?:what|how) about)\b",
    re.IGNORECASE,
)
# A turn that says that nothing was found tells nothing of what it was about.
SAYS_NOTHING = re.compile(
    r"(?:this is not in the documents|(?:i.m |i am )?sorry|unfortunately|i apologi[sz]e|i do not|"
    r"i don.t|the documents do not)",
    re.IGNORECASE,
)
MARKER = re.compile(r"\[\d{1,3}\]")
# Words that no conversation is about.
COMMON = frozenset(
    """
    i me my we our you your he him his she her it its they them their what which who whom this that
    these those am is are was were be been being have has had having do does did doing done a an the
    and but if or because as until while of at by for with about against between into through during
    before after above below to from up down in out on off over under again further then once here
    there when where why how all any both each few more most other some such no nor not only own
    same so than too very can will just should would could may might must now us yours let d s t m
    re ve ll don know tell need want get got much many also please like think make way thing things
    mean explain describe give help look see say said find go going good question questions
    information info details example examples kind type lot ok okay thanks thank yes hi hello right
    really actually one ones still well want take use used using
    """.split()
)


@dataclass(frozen=True, slots=True)
class Condensed:
    """What is searched for a question.

    `question` is asked; `words` are looked for beside its own, where it leans on what was said;
    `context` are texts that pull its vector, each by its weight (the question's own is 1).
    """

    question: str
    words: tuple[str, ...] = ()
    context: tuple[tuple[str, float], ...] = ()

    @property
    def text(self) -> str:
        """The question with the words it leaves out, for whoever reads it without the turns."""
        return f"{self.question} ({' '.join(self.words)})" if self.words else self.question


class Condense(Protocol):
    """From a question and the turns before it, oldest first, to what is searched."""

    async def __call__(self, question: str, history: Sequence[Turn]) -> Condensed: ...


async def by_rule(question: str, history: Sequence[Turn]) -> Condensed:
    """`condense`, as a Condense."""
    return condense(question, history)


def condense(question: str, history: Sequence[Turn]) -> Condensed:
    """By words alone, in well under a millisecond."""
    exchanges = _exchanges(history)
    if not exchanges:
        return Condensed(question)
    context = tuple(
        (turn.content, QUESTION_WEIGHT if turn.role == "user" else ANSWER_WEIGHT)
        for turn in exchanges[0]
    )
    return Condensed(question, _carried(question, exchanges), context)


def _exchanges(history: Sequence[Turn]) -> list[list[Turn]]:
    """The last few questions, each with what was answered, newest first; turns cut short, and those
    of which nothing can be learnt left out."""
    found: list[list[Turn]] = []
    answers: list[Turn] = []
    for turn in reversed(history):
        text = " ".join(MARKER.sub("", turn.content[: 2 * CHARACTERS])[:CHARACTERS].split())
        says = any(_words(text)) and not SAYS_NOTHING.match(text)
        if turn.role == "assistant":
            answers += [Turn(turn.role, text)] if says else []
            continue
        if text and (says or answers):
            found.append([Turn(turn.role, text), *answers[-1:]])
        answers = []
        if len(found) == EXCHANGES:
            break
    return found


def _words(text: str) -> Iterator[str]:
    return (word for word in WORD.findall(text) if word.lower() not in COMMON)


def stemmed(text: str) -> dict[str, str]:
    """The words that tell what a text is about, by their stems."""
    stem = Stemmer.Stemmer("english").stemWord  # made each time: not thread-safe
    return {stem(word.lower()): word for word in _words(text)}


def _carried(question: str, exchanges: Sequence[Sequence[Turn]]) -> tuple[str, ...]:
    """The words of the last question, and those said again and again, that count most."""
    own = stemmed(question)
    last = {word for turn in exchanges[0] for word in stemmed(turn.content)}
    stays = len(own.keys() & last) >= SHARED * len(own)
    if len(own) > SHORT and not stays and not POINTS_BACK.search(question):
        return ()
    counts: defaultdict[str, float] = defaultdict(float)
    spelled: dict[str, str] = {}
    for age, exchange in enumerate(exchanges):
        for turn in exchange:
            for word, written in stemmed(turn.content).items():
                counts[word] += AGED**age
                spelled.setdefault(word, written)
    asked = stemmed(exchanges[0][0].content)
    about = [
        word
        for word, count in sorted(counts.items(), key=lambda item: -item[1])
        if word not in own and (word in asked or count >= REPEATED)
    ]
    return tuple(spelled[word] for word in about[:CARRIED_WORDS])
