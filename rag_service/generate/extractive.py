"""The generator that needs no model to download: the sentences that answer, quoted.

A sentence counts by how near the embedder finds it to the question, by how much of the question's
rare words it holds, and by how far its passage is trusted to answer; beside the best passage only
trusted ones are cited. The best few sentences are shown in reading order. Where nothing supports an
answer, it is that the documents do not say.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
import Stemmer
from numpy.typing import NDArray

from model_pipeline.domain import Claim, Draft, Embedder, Passage, Turn
from rag_service.generate.sentences import Sentence, sentences
from rag_service.generate.trust import SUPPORT, TRUSTED, evidence, found, support, trust

MAX_SENTENCES = 3
MAX_WORDS = 90
# Only so many sentences are embedded: with more, answering would take longer than searching, and
# cites no better. They are chosen by their words and by what the search says for their passages.
MAX_CANDIDATES = 3
FOUND_WEIGHT = 0.6
MAX_LIST_ITEMS = 8
# A sentence must be this near the best one to stand beside it.
NEAR_BEST = 0.83
# What is said twice is said once.
SAME = 0.85
LEXICAL_WEIGHT = 0.35
TRUST_WEIGHT = 0.5
DEFINITION_WEIGHT = 0.25
ASKS_WHAT_IS = re.compile(
    r"\s*what(?: is|'s| are)\s+(?:an?|the)?\s*(?P<term>[\w .-]{2,40}?)\s*\?*\s*$", re.IGNORECASE
)

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
DANGLING = re.compile(
    r"(?:it|its|this|that|these|those|they|their|he|she|such|however|therefore|thus|hence|but|so|"
    r"also|then|otherwise|instead|in that case|for example|for instance|similarly|moreover|and|or|"
    r"in this case|as a result|again|both|if so)\b",
    re.IGNORECASE,
)
ASKS_FOR_CODE = re.compile(
    r"\b(code|example|syntax|snippet|command|script|grammar|sample|curl)\b", re.IGNORECASE
)
BROKEN_WORD = re.compile(r"(?<=\w)-\n[ \t]*(?=\w)")  # at its own hyphen, by the end of a line
LINK = re.compile(r"!?\[([^\]]*)\]\([^)\s]*\)")
MARKS = re.compile(r"\*\*|``|(?<![\w*])\*(?=\S)|(?<=\S)\*(?![\w*])|^#{1,6}\s+|\s*\{[#.][\w\s.-]*\}")
TAGS = re.compile(r"</?[a-zA-Z][^>]{0,200}>")
BULLET = re.compile(r"^\s*(?:[-*+•]|\d{1,3}[.)])\s+")
NUMBER_MARK = re.compile(r"\[\d{1,3}\](?:_|\([^)]*\))?")


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
    """The sentences that may be shown, [n]: `of` is the index of each one's passage, `nearness` its
    cosine with the question, `coverage` its share of the question's words."""

    candidates: list[_Candidate]
    of: NDArray[np.intp]
    nearness: NDArray[np.float32]
    coverage: NDArray[np.float64]
    vectors: NDArray[np.float32]


class Extractive:
    """`executor` bounds how many answers are computed at once, off the event loop."""

    name = "extractive-2"

    def __init__(self, embedder: Embedder, executor: Executor | None = None) -> None:
        self._embedder = embedder
        self._executor = executor

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
        return _drafts(_choose(weighed.candidates, scores, weighed.vectors), passages, parts)

    def weigh(
        self, question: str, passages: Sequence[Passage], parts: Sequence[Sequence[Sentence]]
    ) -> Weighed | None:
        """None where no sentence can be shown; `parts` are the sentences of each passage."""
        candidates = _candidates(question, passages, parts)
        if not candidates:
            return None
        terms = _terms(question)
        stems = [_stems(candidate.text) for candidate in candidates]
        above = [_stems(" ".join((one.title, *one.heading_path))) for one in passages]
        weights = _idf(terms, stems)
        coverage = np.array(
            [
                _coverage(own, above[candidate.passage], weights)
                for own, candidate in zip(stems, candidates, strict=True)
            ]
        )
        of = np.array([candidate.passage for candidate in candidates])
        if len(candidates) > MAX_CANDIDATES:
            promise = coverage + FOUND_WEIGHT * trust(found(passages))[of]
            keep = np.sort(np.argsort(-promise, kind="stable")[:MAX_CANDIDATES])
            candidates = [candidates[index] for index in keep]
            coverage, of = coverage[keep], of[keep]
        asked = self._embedder.embed([question])[0]  # alone: the search has asked for it already
        vectors = self._embedder.embed([_in_context(one, passages) for one in candidates])
        return Weighed(candidates, of, vectors @ asked, coverage, vectors)


def declined(passages: Sequence[Passage]) -> Draft:
    """What is said where the documents hold no answer."""
    text = "This is not in the documents."
    if passages:
        nearest = passages[0]
        place = shown(" > ".join(nearest.heading_path) or nearest.title or nearest.source)
        text += f" The nearest I found is about “{place}”."
    return Draft(text, declined=True)


def shown(text: str) -> str:
    """A stretch of a document as a reader wants it: one line, without its markup."""
    text = BROKEN_WORD.sub("-", BULLET.sub("", text))
    text = NUMBER_MARK.sub("", TAGS.sub("", LINK.sub(r"\1", text)))
    return " ".join(MARKS.sub("", text).split())


def _candidates(
    question: str, passages: Sequence[Passage], parts: Sequence[Sequence[Sentence]]
) -> list[_Candidate]:
    code = ASKS_FOR_CODE.search(question) is not None
    chosen, seen = [], set()
    for rank, (passage, pieces) in enumerate(zip(passages, parts, strict=True)):
        for index, piece in enumerate(pieces):
            if piece.kind in ("heading", "table") or (piece.kind == "code" and not code):
                continue
            text = shown(passage.content[piece.start : piece.end])
            words = len(text.split())
            if not 3 <= words <= MAX_WORDS or text in seen or text.endswith("?"):
                continue
            if not _stands_alone(text, pieces, index):
                continue
            seen.add(text)
            chosen.append(_Candidate(rank, index, piece.start, piece.end, piece.kind, text))
    return chosen


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


def _in_context(candidate: _Candidate, passages: Sequence[Passage]) -> str:
    passage = passages[candidate.passage]
    heading = shown(passage.heading_path[-1] if passage.heading_path else passage.title)
    return f"{heading}: {candidate.text}" if heading else candidate.text


def _stems(text: str) -> set[str]:
    return stemmed(WORD.findall(text.lower()))


def _terms(question: str) -> set[str]:
    words = [word for word in WORD.findall(question.lower()) if word not in STOPWORDS]
    return stemmed(words)


def stemmed(words: list[str]) -> set[str]:
    return set(Stemmer.Stemmer("english").stemWords(words))  # made each time: not thread-safe


def _idf(terms: set[str], texts: Sequence[set[str]]) -> dict[str, float]:
    """Rare words say more: weights of the question's terms over the sentences at hand."""
    counts = Counter(term for text in texts for term in terms & text)
    return {term: math.log(1 + len(texts) / (1 + counts[term])) for term in terms}


def _coverage(own: set[str], above: set[str], weights: dict[str, float]) -> float:
    """The share of the question's weight that a sentence's own words hold; those of the headings
    above it count half."""
    total = sum(weights.values())
    if not total:
        return 0.0
    held = sum(
        weight * (1.0 if term in own else 0.5 if term in above else 0.0)
        for term, weight in weights.items()
    )
    return held / total


def _choose(
    candidates: Sequence[_Candidate], scores: NDArray[np.float32], vectors: NDArray[np.float32]
) -> list[_Candidate]:
    """The best few that do not repeat each other, in reading order."""
    best = float(scores.max())
    chosen: list[int] = []
    words = 0
    for index in np.argsort(-scores, kind="stable"):
        length = len(candidates[index].text.split())
        if len(chosen) == MAX_SENTENCES or scores[index] < NEAR_BEST * best:
            break
        if any(float(vectors[index] @ vectors[other]) > SAME for other in chosen):
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
