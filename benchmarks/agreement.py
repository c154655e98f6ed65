"""How well relevance, coverage and faithfulness tell answers by their worth.

    python -m benchmarks.agreement [--fit]

Beside ROUGE-L's F1 and the plain cosine of the embedder over the same texts (the question for
relevance, the reference for coverage, the passages for faithfulness), on the half of the questions
that nothing was fitted on. Area under the ROC curve; Spearman's rho where worth is a share. `--fit`
prints the constants of the three files anew, from the other half.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rouge_score.rouge_scorer import RougeScorer

from benchmarks.extracted import extracted
from benchmarks.meanings import fit
from benchmarks.rated import Rated, Target, answered, rated
from model_pipeline.domain import Embedder
from model_pipeline.embedding.onnx_embedder import open_onnx_embedder
from model_pipeline.evaluation.agreement import Agreed, agreement
from model_pipeline.evaluation.meaning import meaning

SHARES = ("sentences removed", "sentences added")
SEED = 0
LONGEST = 5_000  # characters that ROUGE-L reads


def compared(row: Rated, target: Target) -> str:
    """What the answer is held against."""
    if target == "relevance":
        return row.pair.example.question
    if target == "coverage":
        return row.pair.example.references[0]
    return "\n".join(one.content for one in row.pair.prediction.passages)


def cosines(rows: Sequence[Rated], target: Target, embedder: Embedder) -> list[float]:
    texts = sorted(
        {text for row in rows for text in (row.pair.prediction.answer, compared(row, target))}
    )
    vectors = dict(zip(texts, embedder.embed(texts), strict=True))
    return [
        float(vectors[row.pair.prediction.answer] @ vectors[compared(row, target)]) for row in rows
    ]


def rouge(rows: Sequence[Rated], target: Target) -> list[float]:
    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    return [
        scorer.score(compared(row, target)[:LONGEST], row.pair.prediction.answer[:LONGEST])[
            "rougeL"
        ].fmeasure
        for row in rows
    ]


def shown(one: Agreed) -> str:
    return f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})"


def measure(rows: Sequence[Rated], embedder: Embedder) -> None:
    print(
        "| what | answers | answers' kind | ours | ROUGE-L | cosine | ours less ROUGE-L "
        "| ours less cosine | ours by length |\n|---|---|---|---|---|---|---|---|---|"
    )
    ours = {one.name: one.each() for one in meaning(embedder)([row.pair for row in rows])}
    targets: tuple[Target, ...] = ("relevance", "coverage", "faithfulness")
    for target in targets:
        for kind in dict.fromkeys(row.kind for row in rows if target in row.targets):
            places = [n for n, row in enumerate(rows) if row.kind == kind and target in row.targets]
            chosen = [rows[n] for n in places]
            scores = {
                "ours": ours[target][places],
                "ROUGE-L": rouge(chosen, target),
                "cosine": cosines(chosen, target, embedder),
            }
            assert np.isfinite(scores["ours"]).all()
            worth = [row.worth for row in chosen]
            lengths = [len(row.pair.prediction.answer.split()) for row in chosen]
            figure = "spearman" if kind in SHARES else "auc"
            alone = agreement(scores, worth, lengths, good=1, seed=SEED)
            less = [
                agreement(scores, worth, lengths, good=1, seed=SEED, against=peer)["ours"]
                for peer in ("ROUGE-L", "cosine")
            ]
            cells = [shown(getattr(one, figure)) for one in (*alone.values(), *less)]
            length = f"{alone['ours'].length.value:.2f}"
            print(
                "|", " | ".join([target, str(len(chosen)), kind, *cells, length]), "|", flush=True
            )


def main() -> None:
    embedder = open_onnx_embedder(cache_dir=Path("~/.promptly/cache").expanduser(), threads=2)
    every = answered()
    rows = [*rated(every, embedder), *extracted(every, embedder)]
    if "--fit" in sys.argv:
        fit([row for row in rows if row.half == 0], embedder)
    else:
        measure([row for row in rows if row.half == 1], embedder)


if __name__ == "__main__":
    main()
