"""How well relevance, coverage and faithfulness tell answers by their worth.

    python -m benchmarks.agreement [--fit]

Beside ROUGE-L's F1 and the plain cosine of the embedder over the same texts (the question for
relevance without a reference; the reference for relevance with one and for coverage; the passages
for faithfulness), on the half of the questions that nothing was fitted on. Area under the ROC
curve; Spearman's rho where worth is a share. `--fit` prints the constants of the three files anew,
from the other half. Vectors are kept in the cache folder: a second run embeds nothing anew.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.answered import answered
from benchmarks.extracted import extracted
from benchmarks.meanings import fit
from benchmarks.rated import Rated, Target, rated
from model_pipeline.domain import Embedder
from model_pipeline.embedding.onnx_embedder import open_onnx_embedder
from model_pipeline.evaluation.agreement import Agreed, drawn
from model_pipeline.evaluation.examples import Pair
from model_pipeline.evaluation.meaning import meaning
from model_pipeline.evaluation.plain import Plain, Values
from model_pipeline.evaluation.vectors import KeptVectors

CACHE = Path("~/.promptly/cache").expanduser()
SHARES = ("sentences removed", "sentences added")
SEED = 0
# What is measured, by what is said of it, and whether the reference is shown.
TARGETS: tuple[tuple[str, Target, bool], ...] = (
    ("relevance, no reference", "relevance", False),
    ("relevance", "relevance", True),
    ("coverage", "coverage", True),
    ("faithfulness", "faithfulness", True),
)


def held_against(row: Rated, target: Target, with_reference: bool) -> Sequence[str]:
    if target == "faithfulness":
        return ["\n".join(one.content for one in row.pair.prediction.passages)]
    return row.pair.example.references if with_reference else [row.pair.example.question]


def scores(rows: Sequence[Rated], with_reference: bool, embedder: Embedder) -> dict[str, Values]:
    """[n] of each metric; each distinct pair is measured once."""
    pairs = [
        row.pair
        if with_reference
        else Pair(replace(row.pair.example, references=()), row.pair.prediction)
        for row in rows
    ]
    keys = [(pair.example.example_id, pair.example.references, pair.prediction) for pair in pairs]
    distinct = dict(zip(keys, pairs, strict=True))
    place = {key: n for n, key in enumerate(distinct)}
    places = np.array([place[key] for key in keys])
    found = meaning(embedder)(list(distinct.values()))
    return {one.name: one.each()[places] for one in found}


def shown(one: Agreed) -> str:
    return f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})"


def measure(every: Sequence[Rated], embedder: Embedder) -> None:
    print(
        "| what | answers' kind | answers | ours | ROUGE-L | cosine | ours less ROUGE-L "
        "| ours less cosine | ours by length |\n|---|---|---|---|---|---|---|---|---|"
    )
    plain = Plain(embedder)
    measured = {one: scores(every, one, embedder) for one in (False, True)}
    for name, target, with_reference in TARGETS:
        of_target = [n for n, row in enumerate(every) if target in row.targets]
        rows = [every[n] for n in of_target]
        ours = measured[with_reference][target][of_target]
        assert np.isfinite(ours).all()
        for kind in dict.fromkeys(row.kind for row in rows):
            places = [n for n, row in enumerate(rows) if row.kind == kind]
            chosen = [rows[n] for n in places]
            texts = [row.pair.prediction.answer for row in chosen]
            held = [held_against(row, target, with_reference) for row in chosen]
            found = drawn(
                {
                    "ours": ours[places],
                    "ROUGE-L": plain.rouge_l(texts, held),
                    "cosine": plain.cosine(texts, held),
                },
                [row.worth for row in chosen],
                [len(text.split()) for text in texts],
                good=1,
                seed=SEED,
            )
            figure = "spearman" if kind in SHARES else "auc"
            own, *peers = found.values()
            all_of_them = [each.agreement() for each in found.values()]
            all_of_them += [own.less(peer) for peer in peers]
            cells = [shown(getattr(one, figure)) for one in all_of_them]
            length = f"{own.agreement().length.value:.2f}"
            print("|", " | ".join([name, kind, str(len(chosen)), *cells, length]), "|", flush=True)


def main() -> None:
    embedder = KeptVectors(
        open_onnx_embedder(cache_dir=CACHE, threads=1),
        cache=CACHE / "benchmarks-agreement.sqlite",
        alone=True,  # as `promptly evaluate` does
    )
    every = answered()
    rows = [*rated(every, embedder), *extracted(every, embedder)]
    if "--fit" in sys.argv:
        fit([row for row in rows if row.half == 0], embedder)
    else:
        measure([row for row in rows if row.half == 1], embedder)


if __name__ == "__main__":
    main()
