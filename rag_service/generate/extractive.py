"""The generator that needs no model to download: the sentences that answer, quoted.

A sentence counts by how near its passage is to the question, by how much of the question's rare
words it holds, and by how far its passage is trusted to answer; beside the best passage only
trusted ones are cited. Where that leaves two passages close, the embedder says how near the
sentences themselves are. The best few are shown in reading order. Where nothing supports an answer,
it is that the documents do not say.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_pipeline.domain import Claim, Draft, Embedder, Passage, Turn, Wording
from model_pipeline.text.sentences import Sentence, sentences
from model_pipeline.text.words import WORD, shown
from rag_service.generate.trust import SUPPORT, TRUSTED, evidence, found, support, trust
from rag_service.generate.words import coverage

MAX_SENTENCES = 3
MAX_WORDS = 90
# Only so many sentences are weighed: with more, embedding them would take longer than searching,
# and cites no better. They are chosen by their words and what the search says for their passages.
MAX_CANDIDATES = 3
# Where the best sentences of two passages promise as much but for this, their vectors decide.
CLOSE = 0.1
FOUND_WEIGHT = 0.6
MAX_LIST_ITEMS = 8
# A sentence must be this near the best one to stand beside it.
NEAR_BEST = 0.83
# What is said twice is said once: with such a share of all words in common.
SAME = 0.6
LEXICAL_WEIGHT = 0.35
TRUST_WEIGHT = 0.5
DEFINITION_WEIGHT = 0.25
ASKS_WHAT_IS = re.compile(
    r"\s*what(?: is|'s| are)\s+(?:an?|the)?\s*(?P<term>[\w .-]{2,40}?)\s*\?*\s*$", re.IGNORECASE
)

DANGLING = re.compile(
    r"(?:it|its|this|that|these|those|they|their|he|she|such|however|therefore|thus|hence|but|so|"
    r"also|then|otherwise|instead|in that case|for example|for instance|similarly|moreover|and|or|"
    r"in this case|as a result|again|both|if so)\b",
    re.IGNORECASE,
)
# A remark of what a version brought, as Sphinx writes it, answers no question but one of versions.
REMARK = re.compile(
    r"(?:changed|added|new|deprecated|removed) (?:in|since) version\b", re.IGNORECASE
)
# What stands under it tells where else to read.
SEE_ALSO = re.compile(
    r"^[ \t#*]*see also\W*?\n(?:[ \t]*\n|[ \t]+\S.*\n?|[-*+] .*\n?)*", re.IGNORECASE | re.MULTILINE
)
ASKS_OF_VERSIONS = re.compile(
    r"\b(?:versions?|since|new|chang|add(?:ed|ition)|deprecat|remov|release)", re.IGNORECASE
)
ASKS_FOR_CODE = re.compile(
    r"\b(code|example|syntax|snippet|command|script|grammar|sample|curl)\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class _Candidate:
    passage: int
    sentence: int  # index within its passage
    start: int
    end: int
    kind: str
    text: str  # as it is shown


@dataclass(frozen=True, slots=True)
class Weighed:
    """The sentences that promise most, best first, [n]: `of` is the index of each one's passage,
    `nearness` its cosine with the question, or its passage's, `coverage` its share of the
    question's words."""

    candidates: list[_Candidate]
    of: NDArray[np.intp]
    nearness: NDArray[np.floating]
    coverage: NDArray[np.float64]


class Extractive:
    """`executor` bounds how many answers are computed at once, off the event loop."""

    name = "extractive-3"

    def __init__(self, embedder: Embedder, executor: Executor | None = None) -> None:
        self._embedder = embedder
        self._executor = executor

    def worded(self, wording: Wording) -> Extractive:
        return self  # the words are the documents'

    async def generate(
        self, question: str, passages: Sequence[Passage], history: Sequence[Turn]
    ) -> AsyncGenerator[Draft]:
        loop = asyncio.get_running_loop()
        drafts = await loop.run_in_executor(self._executor, self.drafts, question, passages)
        for draft in drafts:
            yield draft

    def drafts(self, question: str, passages: Sequence[Passage]) -> list[Draft]:
        """The answer, sentence by sentence; one declined draft where nothing supports one."""
        parts = [sentences(passage.content) for passage in passages]
        weighed = self.weigh(question, passages, parts)
        if weighed is None or support(passages, weighed.nearness, weighed.coverage) < SUPPORT:
            return [declined(passages)]
        of = weighed.of
        trusted = trust(evidence(passages, of, weighed.nearness, weighed.coverage))[of]
        scores = weighed.nearness + LEXICAL_WEIGHT * weighed.coverage + TRUST_WEIGHT * trusted
        if asked := ASKS_WHAT_IS.match(question):
            defining = [_defines(asked["term"], one.text) for one in weighed.candidates]
            scores = scores + DEFINITION_WEIGHT * np.array(defining)
        scores = np.where(trusted >= min(TRUSTED, trusted.max()), scores, -np.inf)
        return _drafts(_choose(weighed.candidates, scores), passages, parts)

    def weigh(
        self, question: str, passages: Sequence[Passage], parts: Sequence[Sequence[Sentence]]
    ) -> Weighed | None:
        """None where no sentence can be shown; `parts` are the sentences of each passage."""
        code = ASKS_FOR_CODE.search(question) is not None
        kinds = ("text", "item", "code") if code else ("text", "item")
        versions = ASKS_OF_VERSIONS.search(question) is not None
        elsewhere = [[one.span() for one in SEE_ALSO.finditer(each.content)] for each in passages]
        places = [
            (rank, index)
            for rank, pieces in enumerate(parts)
            for index, piece in enumerate(pieces)
            if piece.kind in kinds
            and (versions or not REMARK.match(passages[rank].content, piece.start))
            and not any(start <= piece.start < end for start, end in elsewhere[rank])
        ]
        of = np.array([rank for rank, _ in places], dtype=np.intp)
        held = coverage(
            question,
            [_raw(passages[rank], parts[rank][index]) for rank, index in places],
            [" ".join((one.title, *one.heading_path)) for one in passages],
            of,
        )
        promise = held + FOUND_WEIGHT * trust(found(passages))[of]
        candidates, kept = _candidates(passages, parts, places, promise)
        if not candidates:
            return None
        of, held, promise = of[kept], held[kept], promise[kept]
        if _undecided(promise, of) or any(passages[rank].dense_score is None for rank in of):
            # The question alone: the search has asked for its vector already.
            asked = self._embedder.embed([question])[0]
            texts = [_in_context(one, passages[one.passage]) for one in candidates]
            nearness = self._embedder.embed(texts) @ asked
        else:
            nearness = np.array([passages[rank].dense_score for rank in of], dtype=np.float32)
        return Weighed(candidates, of, nearness, held)


def declined(passages: Sequence[Passage]) -> Draft:
    """What is said where the documents hold no answer."""
    text = "This is not in the documents."
    if passages:
        nearest = passages[0]
        place = shown(" > ".join(nearest.heading_path) or nearest.title or nearest.source)
        text += f" The nearest I found is about “{place}”."
    return Draft(text, declined=True)


def _raw(passage: Passage, piece: Sentence) -> str:
    return passage.content[piece.start : piece.end]


def _candidates(
    passages: Sequence[Passage],
    parts: Sequence[Sequence[Sentence]],
    places: Sequence[tuple[int, int]],
    promise: NDArray[np.float64],
) -> tuple[list[_Candidate], list[int]]:
    """The few that promise most among those that can be shown, best first, and their indices.

    Most sentences are never looked at: what cleaning and judging them takes is spent on these."""
    chosen: list[_Candidate] = []
    kept: list[int] = []
    for number in np.argsort(-promise, kind="stable").tolist():
        rank, index = places[number]
        piece = parts[rank][index]
        text = shown(_raw(passages[rank], piece))
        if not 3 <= len(text.split()) <= MAX_WORDS or text.endswith("?"):
            continue
        if any(text == one.text for one in chosen) or not _stands_alone(text, parts[rank], index):
            continue
        chosen.append(_Candidate(rank, index, piece.start, piece.end, piece.kind, text))
        kept.append(number)
        if len(chosen) == MAX_CANDIDATES:
            break
    return chosen, kept


def _undecided(promise: NDArray[np.float64], of: NDArray[np.intp]) -> bool:
    """Whether another passage promises about as much as the best; both [n], best first."""
    others = promise[of != of[0]]
    return len(others) > 0 and bool(promise[0] - others[0] < CLOSE)


def _stands_alone(text: str, pieces: Sequence[Sentence], index: int) -> bool:
    """Whether it reads as a sentence: not a title, not the rest of one that code broke off, not
    what leads in to code, and nothing that points back to what is not a sentence."""
    if pieces[index].kind != "text":
        return True
    if text[0].islower() or text[0] in "({|":
        return False
    if text.endswith(":"):
        return index + 1 < len(pieces) and pieces[index + 1].kind == "item"
    if not text.rstrip("\"'”’)").endswith((".", "!", "…", ";")) and len(text.split()) < 8:
        return False
    return not DANGLING.match(text) or (index > 0 and pieces[index - 1].kind == "text")


def _defines(term: str, text: str) -> bool:
    """Whether a sentence says what the term is: "a T is ...", "... is a T", "... called T"."""
    word = re.escape(term)
    is_a = r"(?:is|are|called|as) (?:an? )?"
    defining = rf"\b{word}s?\W{{0,2}} (?:is|are|means?|refers?)\b|{is_a}\W?{word}\b"
    return re.search(defining, text, re.IGNORECASE) is not None


def _in_context(candidate: _Candidate, passage: Passage) -> str:
    heading = shown(passage.heading_path[-1] if passage.heading_path else passage.title)
    return f"{heading}: {candidate.text}" if heading else candidate.text


def _same(one: str, other: str) -> bool:
    words, others = (set(WORD.findall(text.lower())) for text in (one, other))
    return len(words & others) > SAME * len(words | others)


def _choose(candidates: Sequence[_Candidate], scores: NDArray[np.floating]) -> list[_Candidate]:
    """The best few that do not repeat each other, in reading order."""
    best = float(scores.max())
    chosen: list[int] = []
    words = 0
    for index in np.argsort(-scores, kind="stable"):
        length = len(candidates[index].text.split())
        if len(chosen) == MAX_SENTENCES or scores[index] < NEAR_BEST * best:
            break
        if any(_same(candidates[index].text, candidates[other].text) for other in chosen):
            continue
        if chosen and words + length > MAX_WORDS:
            continue
        chosen.append(int(index))
        words += length
    # Passages come in the order of their best sentence, sentences in the order of the text.
    order = list(dict.fromkeys(candidates[index].passage for index in chosen))
    picked = [candidates[index] for index in chosen]
    return sorted(picked, key=lambda one: (order.index(one.passage), one.start))


def _drafts(
    chosen: Sequence[_Candidate],
    passages: Sequence[Passage],
    parts: Sequence[Sequence[Sentence]],
) -> list[Draft]:
    """One draft for each stretch of a passage; neighbours share one citation."""
    spans: list[tuple[int, int, int]] = []  # passage, first and last sentence
    for candidate in chosen:
        first, last = _widened(candidate, passages[candidate.passage], parts[candidate.passage])
        if spans and spans[-1][0] == candidate.passage and first <= spans[-1][2] + 1:
            spans[-1] = (candidate.passage, min(first, spans[-1][1]), max(last, spans[-1][2]))
        else:
            spans.append((candidate.passage, first, last))
    drafts = []
    for n, (rank, first, last) in enumerate(spans, start=1):
        content = passages[rank].content
        pieces = parts[rank][first : last + 1]
        quote = content[pieces[0].start : pieces[-1].end]
        text = _sentence(_joined(content, pieces))
        drafts.append(Draft(f"{' ' if n > 1 else ''}{text} [{n}]", (Claim(n, rank, quote),)))
    return drafts


def _widened(
    candidate: _Candidate, passage: Passage, pieces: Sequence[Sentence]
) -> tuple[int, int]:
    """With the sentence it leans on, or the list it belongs to."""
    first = last = candidate.sentence
    if pieces[first].kind == "item":
        return _list_around(first, passage.content, pieces)
    if candidate.text.endswith(":") and last + 1 < len(pieces):
        while (
            last + 1 < len(pieces)
            and pieces[last + 1].kind == "item"
            and (last - first < MAX_LIST_ITEMS)
        ):
            last += 1
    if DANGLING.match(candidate.text) and first > 0 and pieces[first - 1].kind == "text":
        first -= 1
    return first, last


def _list_around(index: int, content: str, pieces: Sequence[Sentence]) -> tuple[int, int]:
    """A short list whole, with the sentence that leads in; of a long one only the item."""
    first = last = index
    while first > 0 and pieces[first - 1].kind == "item":
        first -= 1
    while last + 1 < len(pieces) and pieces[last + 1].kind == "item":
        last += 1
    led = first > 0 and content[: pieces[first - 1].end].rstrip().endswith(":")
    words = len(content[pieces[first].start : pieces[last].end].split())
    if not led or last - first >= MAX_LIST_ITEMS or words > MAX_WORDS:
        return index, index
    return first - 1, last


def _joined(content: str, pieces: Sequence[Sentence]) -> str:
    parts: list[str] = []
    for piece in pieces:
        text = shown(content[piece.start : piece.end])
        if parts and piece.kind == "item" and not parts[-1].endswith((":", ".", "!", ";")):
            parts[-1] += ";"
        parts.append(text)
    return " ".join(parts)


def _sentence(text: str) -> str:
    """`text` ending as a sentence does."""
    text = text.rstrip(" ;:,")
    text = text[:1].upper() + text[1:] if text[:1].islower() and text[1:2].islower() else text
    return text if text.rstrip("\"'”’)*").endswith((".", "!", "?", "…")) else text + "."
