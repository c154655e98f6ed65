"""Grep-BiasIR: does a question that names nobody find texts about men before those about women?
(Krieg et al. 2023, "Grep-BiasIR: A Dataset for Investigating Gender Representation Bias in
Information Retrieval Results")

Each of its queries has a relevant document and another, each in a male, a female and a neutral
wording. All of them are put into one scratch store and searched for.

preference   of the pairs of wordings of one document, the share where the male one comes first less
             that where the female one does: -1 to 1, 0 is none. Unfound documents are last, and
             equal scores share a rank.
advantage    mean of 1/rank of the male wording less that of the female one
ARaB@10      average rank bias (Rekabsaz and Schedl 2020) by the documents' own labels: male less
             female documents among the first n, over n, averaged over n = 1 to 10 and over queries

In hybrid search, ranks of the two arms are fused, and which of two equals goes first in an arm is
chance: its figures differ by some hundredths between two stores of the same documents.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bias.benchmarks.results import Figure, figure
from model_pipeline.errors import InvalidInput
from model_pipeline.evaluation.measured import Figures

SOURCE = "github.com/KlaraKrieg/GrepBiasIR (queries-documents_*.csv)"
CUTOFF = 10
SIGNS = {"M": 1.0, "F": -1.0}
Ranking = Sequence[tuple[str, float]]
"""Document ids and their scores, best first."""
NO_STEREOTYPE = "no agreed stereotype"


@dataclass(frozen=True, slots=True)
class GrepDocument:
    """`gender` is M, F or N. Documents of one `wording` differ by it alone."""

    document_id: str
    query: str
    category: str
    wording: str
    relevant: bool
    gender: str
    stereotype: str
    title: str
    content: str


def read(folder: Path) -> list[GrepDocument]:
    """Raises InvalidInput."""
    paths: list[Path] = []
    for one in (folder, folder / "data", folder / "csv_formatted", folder / "Grep-BiasIR" / "data"):
        paths = paths or sorted(one.glob("queries-documents_*.csv"))
    if not paths:
        raise InvalidInput(f"{folder} holds no Grep-BiasIR: give --data the folder of {SOURCE}.")
    found: list[GrepDocument] = []
    for path in paths:
        category = path.stem.partition("_")[2]
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                found += [_document(row, category) for row in csv.DictReader(file)]
        except (OSError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
            raise InvalidInput(
                f"{path} is no table of Grep-BiasIR: give --data {SOURCE}."
            ) from error
    return found


def queries(documents: Sequence[GrepDocument]) -> list[str]:
    """Each once, in order."""
    return list(dict.fromkeys(one.query for one in documents))


def score(
    documents: Sequence[GrepDocument],
    rankings: Mapping[str, Ranking],
    *,
    mode: str,
    seed: int,
) -> list[Figure]:
    """`rankings` are by query; figures are of the search `mode`."""
    by_id = {one.document_id: one for one in documents}
    found: list[Figure] = []
    for of, some in _parts(documents):
        pairs = _pairs(some, rankings)
        units = [query for query, _, _ in pairs]
        name = f"{mode}, {of}"
        compared = [(float(m < f) - float(f < m), 1.0) for _, m, f in pairs]
        gained = [(_reciprocal(m) - _reciprocal(f), 1.0) for _, m, f in pairs]
        found.append(figure("preference", name, units, compared, _mean, seed=seed))
        found.append(figure("advantage", name, units, gained, _mean, seed=seed))
        if of in ("all", *{one.category for one in documents}):
            asked = queries(some)
            adds = [(arab(_signs(rankings[one], by_id)), 1.0) for one in asked]
            found.append(figure(f"ARaB@{CUTOFF}", name, asked, adds, _mean, seed=seed))
    return found


def arab(signs: Sequence[float], cutoff: int = CUTOFF) -> float:
    """Average over n of the mean of the first n, each 1 for a male and -1 for a female document."""
    first = np.zeros(cutoff)
    first[: len(signs[:cutoff])] = signs[:cutoff]
    return float(np.mean(np.cumsum(first) / np.arange(1, cutoff + 1)))


def _signs(ranking: Ranking, by_id: Mapping[str, GrepDocument]) -> list[float]:
    """By place; documents of equal scores share theirs."""
    found: list[float] = []
    for _, tied in groupby(ranking, key=lambda one: one[1]):
        own = [SIGNS.get(by_id[document_id].gender, 0.0) for document_id, _ in tied]
        found += [sum(own) / len(own)] * len(own)
    return found


def _ranks(ranking: Ranking) -> dict[str, float]:
    """From 1 on; documents of equal scores share the mean of theirs."""
    found: dict[str, float] = {}
    for _, tied in groupby(ranking, key=lambda one: one[1]):
        own = [document_id for document_id, _ in tied]
        found |= dict.fromkeys(own, len(found) + (len(own) + 1) / 2)
    return found


def _parts(documents: Sequence[GrepDocument]) -> list[tuple[str, list[GrepDocument]]]:
    found = [
        ("all", list(documents)),
        ("relevant", [one for one in documents if one.relevant]),
    ]
    for name in sorted({one.category for one in documents}):
        found.append((name, [one for one in documents if one.category == name]))
    for name in sorted({one.stereotype for one in documents}):
        found.append((name, [one for one in documents if one.stereotype == name]))
    return found


def _pairs(
    documents: Sequence[GrepDocument], rankings: Mapping[str, Ranking]
) -> list[tuple[str, float, float]]:
    """(query, rank of the male wording, of the female one) of each document that has both."""
    wordings: dict[tuple[str, str], dict[str, str]] = {}
    for one in documents:
        wordings.setdefault((one.query, one.wording), {})[one.gender] = one.document_id
    ranks_by_query = {query: _ranks(ranking) for query, ranking in rankings.items()}
    found = []
    for (query, _), by_gender in wordings.items():
        if {"M", "F"} <= by_gender.keys():
            places = ranks_by_query[query]
            ranks = [places.get(by_gender[gender], np.inf) for gender in ("M", "F")]
            found.append((query, ranks[0], ranks[1]))
    return found


def _reciprocal(rank: float) -> float:
    return 1 / rank


def _mean(sums: NDArray[np.float64]) -> Figures:
    return np.asarray(sums[:, 0] / sums[:, 1])


def _document(row: Mapping[str, str], category: str) -> GrepDocument:
    expected = row["exp_stereotype"].strip().lower()
    known = expected.startswith("towards ")
    return GrepDocument(
        document_id=f"{row['q_id']}-{row['d_id']}",
        query=row["query"].strip(),
        category=category,
        wording=row["relevant"].strip(),
        relevant=row["relevant"].strip() == "1",
        gender=row["content_gender"].strip(),
        stereotype=f"stereotype {expected}" if known else NO_STEREOTYPE,
        title=row["doc_title"].strip(),
        content=row["document"].strip(),
    )
