"""Scorecards to test with: real texts and the share of words that answer and reference have."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from model_pipeline.evaluation.examples import Example, Pair, Prediction, TestSet, paired
from model_pipeline.evaluation.measured import Measured, mean
from model_pipeline.evaluation.scorecard import Scorecard, score

FACTS = [
    "The Danube flows through ten countries and ends in the Black Sea",
    "Water boils at a lower temperature on high mountains because the pressure is lower",
    "Honey keeps for years since it holds too little water for bacteria to grow in it",
    "A leap year has a day more, in February, save in most years that end a century",
]


def make_set(n: int = 24) -> TestSet:
    examples = [
        Example(
            f"q{number:03}",
            f"What is known about fact {number}?" + " Say it in full." * (number % 3),
            references=(f"{FACTS[number % 4]}, as note {number} says.",),
            answerable=number % 6 != 5,
            tags={"topic": ("rivers", "physics", "food", "time")[number % 4]},
        )
        for number in range(n)
    ]
    return TestSet("facts", tuple(examples))


def answers(test_set: TestSet, *, kept: float, seed: int) -> list[Prediction]:
    """Each word of the reference stays with the probability `kept`."""
    random = np.random.default_rng(seed)
    found = []
    for example in test_set.examples:
        words = example.references[0].split()
        said = " ".join(word for word in words if random.random() < kept)
        latency = float(random.gamma(4, 60))
        found.append(Prediction(example.example_id, said, not said, latency_ms=latency))
    return found


def recalled(pairs: Sequence[Pair]) -> list[Measured]:
    """The share of the reference's words that the answer has, named as a metric that is known."""
    return [
        mean("rouge_1_recall", "words|v1", [_recall(pair) for pair in pairs]),
        mean(
            "latency_mean_ms",
            "v1",
            [pair.prediction.latency_ms for pair in pairs],
            best=0.0,
            worst=float("inf"),
        ),
    ]


def _recall(pair: Pair) -> float:
    wanted = pair.example.references[0].split()
    said = pair.prediction.answer.split()
    return sum(word in said for word in wanted) / len(wanted)


def make_card(
    predictions: Sequence[Prediction] | None = None,
    *,
    test_set: TestSet | None = None,
    kept: float = 0.7,
    seed: int = 0,
    release_id: str = "tiny@1",
    bias: float | None = None,
) -> Scorecard:
    test_set = test_set or make_set()
    given = answers(test_set, kept=kept, seed=seed) if predictions is None else predictions
    pairs = paired(test_set, given)
    return score(
        test_set,
        pairs,
        recalled(pairs),
        release_id=release_id,
        seed=0,
        draws=200,
        params={"k": 5, "generator": "extractive"},
        bias=bias,
    )
