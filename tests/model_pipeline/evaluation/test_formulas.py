"""What a file keeps of a metric is enough to measure it again: every metric that there is."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from model_pipeline.evaluation import perplexity
from model_pipeline.evaluation.bootstrap import compare, interval
from model_pipeline.evaluation.citations import citations
from model_pipeline.evaluation.declining import declining
from model_pipeline.evaluation.examples import Pair, Prediction, Quoted, Retrieved, paired
from model_pipeline.evaluation.latency import latency
from model_pipeline.evaluation.measured import Measured
from model_pipeline.evaluation.ranking import ranking
from model_pipeline.evaluation.scorecard import score
from model_pipeline.evaluation.scorecard_file import from_json, to_json
from model_pipeline.evaluation.text_metrics import text_metrics
from tests.model_pipeline.evaluation.cards import answers, make_set


def all_metrics(pairs: Sequence[Pair]) -> list[Measured]:
    nats = np.random.default_rng(0).random((len(pairs), 2)) + 1
    of_a_model = [
        Measured(name, "v1", nats, np.ones(len(pairs), bool), formula, 0.0, math.inf)
        for name, formula in perplexity.FORMULAS.items()
    ]
    metrics = (text_metrics, citations, declining, ranking, latency)
    return [one for metric in metrics for one in metric(pairs)] + of_a_model


def make_pairs() -> list[Pair]:
    test_set = make_set()
    found = []
    for pair in paired(test_set, answers(test_set, kept=0.8, seed=2)):
        example, prediction = pair.example, pair.prediction
        said = prediction.answer[:20]
        found.append(
            Pair(
                replace(example, relevant={"a": 2, "b": 1}),
                replace(
                    prediction,
                    passages=(Retrieved("b", said), Retrieved("c", "")),
                    citations=(Quoted("b", said),),
                ),
            )
        )
    found[3] = Pair(found[3].example, Prediction("q003", error="It does not answer."))
    return found


@pytest.fixture(scope="module")
def measured() -> dict[str, tuple[Measured, Measured]]:
    """Each metric as it was measured and as it is read."""
    test_set, pairs = make_set(), make_pairs()
    card = score(test_set, pairs, all_metrics(pairs), release_id="r", seed=0, draws=20)
    again = from_json(to_json(card).encode())
    names = [one.name for one in card.measured]
    assert len(names) >= 25
    return dict(zip(names, zip(card.measured, again.measured, strict=True), strict=True))


def test_figures_of_all_and_of_single_examples_are_the_same(
    measured: dict[str, tuple[Measured, Measured]],
) -> None:
    for name, (one, again) in measured.items():
        assert again.figure() == pytest.approx(one.figure(), rel=1e-12, nan_ok=True), name
        assert again.each() == pytest.approx(one.each(), rel=1e-12, nan_ok=True), name
        assert again.failures == one.failures, name
        assert again.signature == one.signature, name
        assert (again.best, again.worst) == (one.best, one.worst), name


def test_resampling_is_the_same(measured: dict[str, tuple[Measured, Measured]]) -> None:
    for name, (one, again) in measured.items():
        before, after = interval(one, seed=1, draws=20), interval(again, seed=1, draws=20)
        assert (after.low, after.high) == pytest.approx(
            (before.low, before.high), rel=1e-12, nan_ok=True
        ), name
        found = compare(one, again, seed=1, draws=20)
        known = math.isfinite(one.figure())  # declining has no precision where nothing was declined
        assert (abs(found.difference) < 1e-12) == known, name
