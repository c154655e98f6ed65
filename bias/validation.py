"""Whether a judge holds up: against people's labels, by group, under changes that must not matter,
on neutral mentions, asked twice, and on groups that it was not trained with."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bias import controls
from bias.calibration import Calibration, Covered, covered, of_harm, of_level
from bias.figures import (
    ALARMS,
    KAPPA,
    false_alarms,
    figures,
    judged,
    kappa,
    of_binary,
    of_ratings,
)
from bias.labels import Labelled, LabelSet, groups_of
from bias.rubric import rubric
from bias.verdicts import Judge, Unjudged, Verdict
from model_pipeline.evaluation.bootstrap import DRAWS
from model_pipeline.evaluation.measured import mean
from model_pipeline.evaluation.scorecard import Figure, versions

CHUNK = 256
RETESTED = 300
CHANGED = 400
EXTREMES = 8

Train = Callable[[Sequence[Labelled], int], Judge]
"""A judge of these rows alone, by this seed. May take minutes."""
Tell = Callable[[str, int, int], None]
"""What is being judged, how much of it is done, and of how much."""
Figured = Mapping[str, Figure]


@dataclass(frozen=True, slots=True)
class Disagreement:
    text: str
    rating: float
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class OfSet:
    """A judge on one label set, `harmful` of whose `n` texts are so to people. `sure` are the
    figures of what it is sure of; `failures` count the texts that it could not judge, by reason,
    and figures are of the others; `groups` are ordered by their size."""

    name: str
    n: int
    harmful: int
    is_rated: bool
    judged: Figure
    failures: Mapping[str, int]
    whole: Figured
    sure: Figured
    groups: Mapping[str, Figured]
    harm: Calibration
    level: Calibration | None
    covered: tuple[Covered, ...]
    worst: tuple[Disagreement, ...]


@dataclass(frozen=True, slots=True)
class Retest:
    """The same texts again, in another order and company."""

    n: int
    same_level: Figure
    kappa: Figure
    most: float
    """The largest change of a score."""


@dataclass(frozen=True, slots=True)
class Change:
    """On the `n` texts that it changes."""

    name: str
    n: int
    shift: Figure
    jumps: Figure


@dataclass(frozen=True, slots=True)
class Neutral:
    """On statements that mention people and say nothing against them."""

    alarms: Figure
    score: Figure
    groups: Mapping[str, Figure]
    failures: Mapping[str, int]
    worst: tuple[Disagreement, ...]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Each group judged by a judge that was trained without it, and all of these together."""

    groups: Mapping[str, Figured]
    together: Figured


@dataclass(frozen=True, slots=True)
class Validation:
    signature: str
    rubric: str
    controls: str
    seed: int
    versions: Mapping[str, str]
    sets: tuple[OfSet, ...]
    retest: Retest
    changes: tuple[Change, ...]
    neutral: Neutral
    left_out: LeftOut | None


def validate(
    judge: Judge,
    sets: Sequence[LabelSet],
    *,
    seed: int,
    again: Judge | None = None,
    left_out: LeftOut | None = None,
    sample: int | None = None,
    draws: int = DRAWS,
    tell: Tell = lambda what, done, of: None,
) -> Validation:
    """`again` is asked a second time, where `judge` remembers; `sample` is the most texts of each
    part, drawn by the seed. The rubric's own examples that no judge is shown are one more set."""

    def by(whom: Judge, what: str, texts: Sequence[str]) -> list[Verdict | Unjudged]:
        found: list[Verdict | Unjudged] = []
        for start in range(0, len(texts), CHUNK):
            tell(what, start, len(texts))
            found += whom.judge(texts[start : start + CHUNK])
        tell(what, len(texts), len(texts))
        return found

    def drawn(rows: Sequence[Labelled], most: int | None, part: int) -> list[Labelled]:
        if most is None or len(rows) <= most:
            return list(rows)
        return random.Random(f"{seed}/{part}").sample(rows, most)  # noqa: S311

    everything = [*sets, own_examples()]
    rows_of = [drawn(one.rows, sample, part) for part, one in enumerate(everything)]
    verdicts_of = [
        by(judge, one.name, [row.text for row in rows])
        for one, rows in zip(everything, rows_of, strict=True)
    ]
    found = tuple(
        _of_set(one, rows, verdicts, seed, draws)
        for one, rows, verdicts in zip(everything, rows_of, verdicts_of, strict=True)
    )
    known = {
        row.text: verdict
        for rows, verdicts in zip(rows_of, verdicts_of, strict=True)
        for row, verdict in zip(rows, verdicts, strict=True)
        if isinstance(verdict, Verdict)
    }
    most = min(sample or RETESTED, RETESTED)
    texts = random.Random(f"{seed}/again").sample(sorted(known), min(most, len(known)))  # noqa: S311
    second = by(again or judge, "asked again", texts)
    neutral = drawn(controls.mentions(), sample, len(everything))
    return Validation(
        signature=judge.signature,
        rubric=rubric().signature,
        controls=f"neutral-{controls.neutral().version}|{controls.neutral().digest}",
        seed=seed,
        versions=versions(),
        sets=found,
        retest=_retest([known[text] for text in texts], second, seed, draws),
        changes=_changes(
            known, min(sample or CHANGED, CHANGED), seed, draws, lambda what, t: by(judge, what, t)
        ),
        neutral=_neutral(
            neutral, by(judge, "neutral mentions", [row.text for row in neutral]), seed, draws
        ),
        left_out=left_out,
    )


def own_examples() -> LabelSet:
    """The rubric's examples that no judge is shown."""
    rows = [
        Labelled(anchor.examples[-1], float(anchor.level), anchor.level <= 2, ())
        for anchor in rubric().anchors
    ]
    return LabelSet("the rubric's examples", tuple(rows))


def leave_groups_out(
    train: Train,
    training: Sequence[Labelled],
    testing: Sequence[Labelled],
    *,
    seed: int,
    draws: int = DRAWS,
    tell: Tell = lambda what, done, of: None,
) -> LeftOut:
    """Trained on the rows of `training` that do not name a group, tested on those of `testing` that
    do; ratings, no binary labels."""
    groups: dict[str, Figured] = {}
    all_verdicts: list[Verdict] = []
    all_rows: list[Labelled] = []
    names = [one for one in groups_of(testing) if any(one in row.groups for row in training)]
    for done, group in enumerate(names):
        tell("groups left out", done, len(names))
        one = train([row for row in training if group not in row.groups], seed)
        own = [row for row in testing if group in row.groups]
        verdicts, rows = judged(one.judge([row.text for row in own]), own)
        groups[group] = figures(of_ratings(verdicts, rows), seed=seed, draws=draws)
        all_verdicts += verdicts
        all_rows += rows
    tell("groups left out", len(names), len(names))
    return LeftOut(groups, figures(of_ratings(all_verdicts, all_rows), seed=seed, draws=draws))


def _of_set(
    one: LabelSet,
    rows: Sequence[Labelled],
    verdicts: Sequence[Verdict | Unjudged],
    seed: int,
    draws: int,
) -> OfSet:
    good, own = judged(verdicts, rows)

    def of(chosen: Sequence[int]) -> Figured:
        v, r = [good[n] for n in chosen], [own[n] for n in chosen]
        measured = of_ratings(v, r) if one.is_rated else of_binary(v, r)
        sure = mean("sure", "v1", [float(x.sure) for x in v])
        return figures([*measured, false_alarms(v, r), sure], seed=seed, draws=draws)

    return OfSet(
        name=one.name,
        n=len(rows),
        harmful=sum(row.harmful for row in rows),
        is_rated=one.is_rated,
        judged=_share_judged(verdicts, seed, draws),
        failures=_counted(verdicts),
        whole=of(range(len(good))),
        sure=of([n for n, verdict in enumerate(good) if verdict.sure]),
        groups={
            group: of([n for n, row in enumerate(own) if group in row.groups])
            for group in groups_of(own)
        },
        harm=of_harm(good, own),
        level=of_level(good, own),
        covered=tuple(covered(good, own)),
        worst=_worst(good, own),
    )


def _worst(verdicts: Sequence[Verdict], rows: Sequence[Labelled]) -> tuple[Disagreement, ...]:
    pairs = [
        Disagreement(row.text, _rating(row), verdict)
        for verdict, row in zip(verdicts, rows, strict=True)
    ]
    pairs.sort(key=lambda one: (-abs(one.verdict.score - one.rating), one.text))
    return tuple(pairs[:EXTREMES])


def _rating(row: Labelled) -> float:
    return row.rating if row.rating is not None else 1.0 if row.harmful else 5.0


def _share_judged(verdicts: Sequence[Verdict | Unjudged], seed: int, draws: int) -> Figure:
    values = [float(isinstance(one, Verdict)) for one in verdicts]
    return figures([mean("judged", "v1", values)], seed=seed, draws=draws)["judged"]


def _counted(verdicts: Sequence[Verdict | Unjudged]) -> dict[str, int]:
    reasons = sorted(one.reason for one in verdicts if isinstance(one, Unjudged))
    return {reason: reasons.count(reason) for reason in dict.fromkeys(reasons)}


def _retest(
    first: Sequence[Verdict], second: Sequence[Verdict | Unjudged], seed: int, draws: int
) -> Retest:
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if isinstance(b, Verdict)]
    # One that is judged the first time and not the second is no agreement.
    same = [
        isinstance(b, Verdict) and a.level == b.level for a, b in zip(first, second, strict=True)
    ]
    levels = [a.level for a, _ in pairs], [b.level for _, b in pairs]
    shares = mean("same", "v1", [float(one) for one in same])
    found = {
        **figures([shares], seed=seed, draws=draws),
        **figures([kappa(*levels)], seed=seed, draws=draws),
    }
    most = max((abs(a.score - b.score) for a, b in pairs), default=float("nan"))
    return Retest(len(first), found["same"], found[KAPPA], most)


def _changes(
    known: Mapping[str, Verdict],
    most: int,
    seed: int,
    draws: int,
    judge: Callable[[str, Sequence[str]], list[Verdict | Unjudged]],
) -> tuple[Change, ...]:
    """Over texts of all levels alike, as far as there are."""
    texts = _of_all_levels(known, most, seed)
    found = []
    for name, pairs in controls.changed(texts):
        if not pairs:
            continue
        news = judge(name, [new for _, new in pairs])
        olds = [known[texts[place]] for place, _ in pairs]
        shift, jumps = controls.shift(name, olds, news)
        drawn = figures([shift, jumps], seed=seed, draws=draws)
        found.append(Change(name, len(pairs), drawn[shift.name], drawn[jumps.name]))
    return tuple(found)


def _of_all_levels(known: Mapping[str, Verdict], most: int, seed: int) -> list[str]:
    by_level: dict[int, list[str]] = {}
    for text in random.Random(f"{seed}/changed").sample(sorted(known), len(known)):  # noqa: S311
        by_level.setdefault(known[text].level, []).append(text)
    turns: list[str] = []
    while len(turns) < most and any(by_level.values()):
        turns += [texts.pop() for _, texts in sorted(by_level.items()) if texts]
    return turns[:most]


def _neutral(
    rows: Sequence[Labelled], verdicts: Sequence[Verdict | Unjudged], seed: int, draws: int
) -> Neutral:
    good, own = judged(verdicts, rows)
    alarms = false_alarms(good, own)
    scores = mean("score", "v1", [one.score for one in good], best=5.0, worst=1.0)
    found = figures([alarms, scores], seed=seed, draws=draws)
    groups = {}
    for group in sorted(groups_of(own)):
        chosen = [n for n, row in enumerate(own) if group in row.groups]
        one = false_alarms([good[n] for n in chosen], [own[n] for n in chosen])
        groups[group] = figures([one], seed=seed, draws=draws)[ALARMS]
    wrong = [n for n, verdict in enumerate(good) if verdict.level <= 2]
    return Neutral(
        alarms=found[ALARMS],
        score=found["score"],
        groups=groups,
        failures=_counted(verdicts),
        worst=_worst([good[n] for n in wrong], [own[n] for n in wrong]),
    )
