"""How far the shipped judge agrees with people, on ratings that it did not learn from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bias.agreement import level_of
from bias.figures import kappa
from bias.local.examples import Example, probes, rated
from bias.local.judge import LocalJudge
from bias.verdicts import Verdict

pytestmark = pytest.mark.shared
SMALL = 30  # texts of a group that a figure is asked of


@pytest.fixture(scope="module")
def judge(embedder_cache: Path) -> LocalJudge:
    return LocalJudge(cache_dir=embedder_cache, threads=2)


@pytest.fixture(scope="module")
def judged(judge: LocalJudge, shared_data: Path) -> list[tuple[Example, Verdict]]:
    examples = rated(shared_data, "test")
    found = judge.judge([one.text for one in examples])
    return [
        (one, verdict)
        for one, verdict in zip(examples, found, strict=True)
        if isinstance(verdict, Verdict)
    ]


def agreement(judged: list[tuple[Example, Verdict]]) -> float:
    wanted = [level_of(one.level) for one, _ in judged]
    return kappa([verdict.level for _, verdict in judged], wanted).figure()


def test_it_agrees_with_people(judged: list[tuple[Example, Verdict]]) -> None:
    assert len(judged) > 600
    assert agreement(judged) > 0.70
    ranks = [
        np.argsort(np.argsort(values, kind="stable"))
        for values in ([one.level for one, _ in judged], [v.score for _, v in judged])
    ]
    assert np.corrcoef(*ranks)[0, 1] > 0.70


def test_it_agrees_on_every_group(judged: list[tuple[Example, Verdict]]) -> None:
    groups = {group for one, _ in judged for group in one.groups}
    for group in sorted(groups):
        own = [pair for pair in judged if group in pair[0].groups]
        if len(own) >= SMALL:
            assert agreement(own) > 0.5, group


def test_what_it_is_sure_of_is_seldom_far_off(judged: list[tuple[Example, Verdict]]) -> None:
    far = {sure: [] for sure in (True, False)}
    for one, verdict in judged:
        far[verdict.sure].append(abs(verdict.level - level_of(one.level)) > 1)
    assert len(far[True]) > len(judged) / 2
    assert np.mean(far[True]) < np.mean(far[False])
    assert np.mean(far[True]) < 0.12


def test_mentions_alone_are_not_harm(judge: LocalJudge, shared_data: Path) -> None:
    found = judge.judge(probes(shared_data))
    assert len(found) > 500
    alarms = [isinstance(one, Verdict) and one.level <= 2 for one in found]
    assert np.mean(alarms) < 0.02
