"""The Scorecard: what a release's answers to a frozen test set measure up to.

Every figure has its interval, the number of examples it is of, and what could not be scored; every
example keeps its row, so that two scorecards over the same test set are compared pair by pair.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata

import numpy as np

from model_pipeline.errors import InvalidInput
from model_pipeline.evaluation import reliability
from model_pipeline.evaluation.bootstrap import DRAWS, Interval, intervals
from model_pipeline.evaluation.examples import Pair, TestSet
from model_pipeline.evaluation.measured import Measured
from model_pipeline.evaluation.slices import slices

SMALL = 30  # examples; an interval of fewer is a rough guess
RUBRIC = 1.0, 5.0
NEITHER = frozenset({"length_ratio"})  # neither more nor less is better, and it may be over 1
# What decides figures, of what is installed.
PACKAGES = (
    "promptly-rag numpy rouge-score regex tokenizers onnxruntime sentence-transformers "
    "transformers torch"
).split()
Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Figure:
    """`value` and the bounds of its interval are NaN where none of the `n` scored gives one."""

    value: float
    interval: Interval
    n: int

    @property
    def small(self) -> bool:
        return self.n < SMALL


@dataclass(frozen=True, slots=True)
class Slice:
    """The `n` examples whose `by` (a tag, `answerability`, `question length`) is `value`."""

    by: str
    value: str
    n: int
    figures: Mapping[str, Figure]


@dataclass(frozen=True, slots=True)
class Row:
    """One example and what was answered. `failure` is why the release has no answer."""

    example_id: str
    question: str
    references: tuple[str, ...]
    answer: str
    declined: bool
    failure: str | None
    answerable: bool | None
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Scorecard:
    """`test_set_hash` is the test set's `content_hash()`. `bias` is a mean rubric score from 1 to 5
    (5 is best), None where nobody measured it. `params` are the release's and the run's settings.
    `made_at` is given by the caller or None: nothing here reads a clock."""

    release_id: str
    test_set: str
    test_set_hash: str
    seed: int
    draws: int
    made_at: str | None
    params: Mapping[str, Scalar]
    versions: Mapping[str, str]
    bias: float | None
    measured: tuple[Measured, ...]
    figures: Mapping[str, Figure]
    slices: tuple[Slice, ...]
    rows: tuple[Row, ...]

    def failures(self) -> dict[str, list[str]]:
        """Failures of the release by name, the ids of their examples in the test set's order."""
        found: dict[str, list[str]] = {}
        for row in self.rows:
            if row.failure is not None:
                found.setdefault(row.failure, []).append(row.example_id)
        return found

    def unscored(self, measured: Measured) -> dict[str, list[str]]:
        """What one metric could not score, by reason, with the examples' ids."""
        found: dict[str, list[str]] = {}
        for index in sorted(measured.failures):
            found.setdefault(measured.failures[index], []).append(self.rows[index].example_id)
        return found


def score(
    test_set: TestSet,
    pairs: Sequence[Pair],
    measured: Sequence[Measured],
    *,
    release_id: str,
    seed: int,
    draws: int = DRAWS,
    params: Mapping[str, Scalar] | None = None,
    made_at: str | None = None,
    bias: float | None = None,
) -> Scorecard:
    """`pairs` are `paired(test_set, predictions)`, and `measured` what the metrics found in them;
    reliability is added. Raises InvalidInput for a bias beyond the rubric."""
    if bias is not None and not RUBRIC[0] <= bias <= RUBRIC[1]:
        raise InvalidInput(f"The rubric score of bias is {bias}: give a mean from 1 to 5.")
    everything = (*measured, *reliability.reliability(pairs))
    names = [one.name for one in everything]
    assert len(set(names)) == len(names), f"two metrics of one name: {sorted(names)}"
    assert all(len(one.scored) == len(pairs) for one in everything)
    whole = _figures(everything, seed, draws)
    parts = slices([pair.example for pair in pairs])
    return Scorecard(
        release_id=release_id,
        test_set=test_set.name,
        test_set_hash=test_set.content_hash(),
        seed=seed,
        draws=draws,
        made_at=made_at,
        params=dict(sorted((params or {}).items())),
        versions=versions(),
        bias=bias,
        measured=everything,
        figures=whole,
        slices=tuple(
            Slice(
                by,
                value,
                int(chosen.sum()),
                _figures([m.only(chosen) for m in everything], seed, draws),
            )
            for (by, value), chosen in parts.items()
        ),
        rows=tuple(_row(pair) for pair in pairs),
    )


def of_share(measured: Measured) -> bool:
    """Whether its figures go from 0 to 1 and 1 is best."""
    return (measured.best, measured.worst) == (1.0, 0.0) and measured.name not in NEITHER


def versions() -> dict[str, str]:
    """Of Python and of each installed package that decides figures."""
    installed = {package.metadata["Name"]: package.version for package in metadata.distributions()}
    known = {name: installed[name] for name in PACKAGES if name in installed}
    return dict(sorted({"python": platform.python_version(), **known}.items()))


def _figures(measured: Sequence[Measured], seed: int, draws: int) -> dict[str, Figure]:
    found = intervals(measured, seed=seed, draws=draws)
    return {
        one.name: Figure(_finite(one.figure(one.scored)), interval, int(one.scored.sum()))
        for one, interval in zip(measured, found, strict=True)
    }


def _finite(value: float) -> float:
    return value if np.isfinite(value) else math.nan


def _row(pair: Pair) -> Row:
    example, prediction = pair.example, pair.prediction
    return Row(
        example_id=example.example_id,
        question=example.question,
        references=example.references,
        answer=prediction.answer,
        declined=prediction.declined,
        failure=reliability.failure(pair),
        answerable=example.answerable,
        tags=dict(sorted(example.tags.items())),
    )
