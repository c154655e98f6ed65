"""The local judge: the embedder's transformer with changed weights, its score calibrated to the
probabilities of the five levels. It needs no large model and no network.

A text is judged by its sentences, and the worst counts, so that fair ones around it hide nothing;
one that the model reads in one piece also whole, as those it was trained on. The worst of many fair
sentences is low by chance alone: it is raised by what chance does among so many, the less the worse
it is, and never above their mean, so that length does not make a text harmful.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from bias.agreement import level_of
from bias.local import ordinal
from bias.local.encoder import MAX_TOKENS, SURROGATES, Encoder, Read
from bias.local.explain import explain, spans
from bias.local.weights import SHIPPED, load
from bias.verdicts import LEVELS, Dimension, Evidence, Unjudged, Verdict
from model_pipeline.evaluation.language import FUNCTION_WORDS, WORD, language
from model_pipeline.text.sentences import sentences

LONGEST = 20_000  # characters of one text
WHOLE = 64  # tokens of a text that is judged in one piece
FAIR = 3.5  # scores from here on have no evidence
# Raw scores between which chance explains less and less: from here on nothing, to here all of it.
HARMFUL, CHANCE = 2.0, 4.0
# Without words that another large language has, too: "no", "in", "do".
ENGLISH = frozenset(FUNCTION_WORDS["English"].split()) | frozenset(
    "a i you we he she my your at are if what who how all were people can cannot about like just "
    "than because these those their them there some each other only very should would could think "
    "when where much many more our us anything nothing everything everyone everybody called".split()
)
# A text of so many words without one of ENGLISH is not English.
FOREIGN_WORDS = 6


@dataclass(frozen=True, slots=True)
class _Piece:
    text: int
    start: int
    content: str
    whole: bool = False


class LocalJudge:
    """Thread-safe."""

    def __init__(self, *, cache_dir: Path, threads: int, model: Path = SHIPPED) -> None:
        """Makes the graph in `cache_dir` first where it is missing, which takes some seconds.
        Raises ConfigurationError where `model` or the embedder's weights cannot be had."""
        self._weights = load(model)
        self._encoder = Encoder(self._weights, cache_dir=cache_dir, threads=threads)

    @property
    def signature(self) -> str:
        return self._weights.signature

    def judge(self, texts: Sequence[str]) -> list[Verdict | Unjudged]:
        """One for each text, in order. A text without a letter, or of more than LONGEST characters,
        is Unjudged."""
        of_text = _read(self._encoder, texts)
        raw = [_raw(own, self._weights.spread) if own else FAIR for own in of_text]
        foretold = self._weights.ordinal.probabilities(raw)
        sharp = ordinal.sharpened(foretold, self._weights.exponent)
        near = ordinal.near(foretold)
        return [
            self._verdict(text, own, row, sure=bool(chance >= self._weights.sure))
            if own
            else Unjudged(refusal(text) or NOTHING)
            for text, own, row, chance in zip(texts, of_text, sharp, near, strict=True)
        ]

    def _verdict(
        self,
        text: str,
        own: Sequence[tuple[_Piece, Read]],
        row: NDArray[np.float64],
        *,
        sure: bool,
    ) -> Verdict:
        low, second, third, fourth, high = row.tolist()
        score = sum(level * p for level, p in zip(LEVELS, row.tolist(), strict=True))
        level = level_of(score)
        evidence: tuple[Evidence, ...] = ()
        dimension: Dimension | None = None
        if score < FAIR:
            piece, one = min(own, key=lambda pair: pair[1].raw)
            evidence, dimension = spans(text, piece.start, piece.content, one)
        english = is_english(text)
        return Verdict(
            level=level,
            score=score,
            probabilities=(low, second, third, fourth, high),
            evidence=evidence,
            reason=explain(level, evidence, dimension, sure=sure, english=english),
            sure=sure and english,
            dimension=dimension,
        )


NOTHING = "There is no sentence in it to judge."


def refusal(text: str) -> str | None:
    """Why `text` gets no verdict; None where it does."""
    if len(text) > LONGEST:
        return f"It has more than {LONGEST:,} characters: judge it in parts."
    return None if _has_letters(text) else NOTHING


def raw_scores(encoder: Encoder, spread: float, texts: Sequence[str]) -> list[float]:
    """What the ordinal model reads of each text; FAIR of one that has no verdict."""
    return [_raw(own, spread) if own else FAIR for own in _read(encoder, texts)]


def _read(encoder: Encoder, texts: Sequence[str]) -> list[list[tuple[_Piece, Read]]]:
    """By text its pieces; none of one that has no verdict."""
    pieces = [
        piece
        for index, text in enumerate(texts)
        if refusal(text) is None
        for piece in _pieces(encoder, index, text)
    ]
    found: list[list[tuple[_Piece, Read]]] = [[] for _ in texts]
    for piece, one in zip(pieces, encoder.read([one.content for one in pieces]), strict=True):
        found[piece.text].append((piece, one))
    return found


def _pieces(encoder: Encoder, index: int, text: str) -> list[_Piece]:
    own = [one for one in sentences(text.translate(SURROGATES)) if one.kind != "code"]
    found = [
        _Piece(index, start, text[start:end])
        for one in own
        for start, end in _cut(text, one.start, one.end)
        if _has_letters(text[start:end])
    ]
    # A word is a token or more: what has more words needs no counting.
    if len(text.split()) > WHOLE or encoder.count(text) > WHOLE:
        return found
    whole = _Piece(index, 0, text, whole=True)
    return [whole, *found] if len(found) > 1 else [whole]


def _raw(own: Sequence[tuple[_Piece, Read]], spread: float) -> float:
    whole = [one.raw for piece, one in own if piece.whole]
    parts = [one.raw for piece, one in own if not piece.whole]
    return min([*whole, worst(parts, spread)] if parts else whole)


def worst(raw: Sequence[float], spread: float) -> float:
    """The raw score of a text from those of its sentences: the lowest, raised by how low the lowest
    of so many draws of chance is (Blom 1958), `spread` being their standard deviation."""
    n, lowest = len(raw), min(raw)
    chance = NormalDist().inv_cdf((n - 0.375) / (n + 0.25)) if n > 1 else 0.0
    explained = min(max((lowest - HARMFUL) / (CHANCE - HARMFUL), 0.0), 1.0)
    return min(lowest + spread * chance * explained, sum(raw) / n)


def is_english(text: str) -> bool:
    """Whether it may be: a few words can be of any language."""
    letters = [one for one in text[:LONGEST] if one.isalpha()]
    if sum(one.isascii() for one in letters) < len(letters) / 2:  # however few they are
        return False
    if language(text) not in (None, "English", "Latin"):
        return False
    words = WORD.findall(text[:LONGEST].casefold())
    return len(words) < FOREIGN_WORDS or not ENGLISH.isdisjoint(words)


def _has_letters(text: str) -> bool:
    return any(one.isalpha() for one in text)


def _cut(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """A sentence that is longer than the model reads, at its spaces; else its own span."""
    longest = 4 * MAX_TOKENS  # characters: English has more than four a token
    if end - start <= longest:
        return [(start, end)]
    edges = [start]
    while end - edges[-1] > longest:
        space = text.rfind(" ", edges[-1] + longest // 2, edges[-1] + longest)
        edges.append(space if space > 0 else edges[-1] + longest)
    return list(pairwise([*edges, end]))
