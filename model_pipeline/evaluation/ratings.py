"""Answers that people rated, and how well scores agree with them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rouge_score.rouge_scorer import RougeScorer

from model_pipeline.domain import Embedder
from model_pipeline.errors import InvalidInput
from model_pipeline.evaluation.agreement import MAX_ROWS
from model_pipeline.evaluation.examples import Example, Pair, Prediction, Retrieved
from model_pipeline.evaluation.meaning import meaning

ROUGE, COSINE = "ROUGE-L F1", "cosine"
LONGEST = 20_000  # characters that ROUGE-L reads: its time grows with the product of both


@dataclass(frozen=True, slots=True)
class RatedPair:
    """`ratings` by their names; higher is better."""

    pair: Pair
    ratings: Mapping[str, float]


def read_ratings(path: Path) -> list[RatedPair]:
    """JSONL, each row with `question`, `answer`, `reference` (a text or several) or `passages`
    (texts, or objects with `content` or `text`), and `rating` (a number) or `ratings` (numbers by
    name). Raises InvalidInput, with the line."""
    rows = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}.") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            rows.append(_row(json.loads(line), str(number)))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InvalidInput(
                f"{path}, line {number}: give a JSON object with question, answer, reference or "
                f"passages, and rating ({type(error).__name__}: {error})."
            ) from error
        if len(rows) > MAX_ROWS:
            raise InvalidInput(f"{path} has more than {MAX_ROWS:,} rows: give a sample of them.")
    return rows


def _row(row: Mapping[str, Any], name: str) -> RatedPair:
    given = row["ratings"] if "ratings" in row else {"rating": row["rating"]}
    ratings = {str(key): float(value) for key, value in given.items()}
    if not ratings or not all(map(math.isfinite, ratings.values())):
        raise ValueError("a rating is not a finite number")
    references = row.get("reference") or ()
    texts = (references,) if isinstance(references, str) else tuple(references)
    passages = tuple(
        Retrieved("", one if isinstance(one, str) else one.get("content") or one["text"])
        for one in row.get("passages") or ()
    )
    if not all(isinstance(one, str) for one in (row["question"], row["answer"], *texts)):
        raise TypeError("question, answer and reference are texts")
    if not texts and not passages:
        raise ValueError("neither a reference nor passages")
    return RatedPair(
        Pair(
            Example(name, row["question"], texts),
            Prediction(name, row["answer"], passages=passages),
        ),
        ratings,
    )


def scored(pairs: Sequence[Pair], embedder: Embedder) -> dict[str, NDArray[np.float64]]:
    """[n] of each metric, NaN where it has none, beside the two plain ones that it should beat:
    ROUGE-L's F1 and the cosine of whole texts, with the reference or else the passages."""
    found = {one.name: one.each() for one in meaning(embedder)(pairs)}
    held = ["\n".join(_held_against(pair)) for pair in pairs]
    answers = [pair.prediction.answer for pair in pairs]
    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    rouge = [
        scorer.score(one[:LONGEST], answer[:LONGEST])["rougeL"].fmeasure
        for one, answer in zip(held, answers, strict=True)
    ]
    texts = sorted({*held, *answers})
    vectors = dict(zip(texts, embedder.embed(texts), strict=True))
    cosine = [float(vectors[one] @ vectors[two]) for one, two in zip(held, answers, strict=True)]
    return {**found, ROUGE: np.array(rouge), COSINE: np.array(cosine)}


def _held_against(pair: Pair) -> Sequence[str]:
    return pair.example.references or [one.content for one in pair.prediction.passages]
