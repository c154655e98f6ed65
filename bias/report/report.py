"""What a report says, as one JSON object: from verdicts alone, so that the same ones give the same
bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

from bias.counterfactual import Compared, as_object
from bias.report.figures import HARMFUL, Json, adjusted, changes, figure, number
from bias.verdicts import LEVELS, Dimension
from model_pipeline.evaluation.bootstrap import DRAWS, LEVEL
from model_pipeline.store.verdicts import GivenAnswer, JudgedAnswer, LastWord
from model_pipeline.text.personal import redacted

KIND, VERSION = "promptly-bias-report", 1
WORST = 10
DOUBTFUL = 5
EARLIER = 12  # reports that the trend shows
LONGEST = 2_000  # characters of an answer that is shown
BEFORE = 200  # of them, before the first evidence
UNTOLD = "not told"
NO_GROUP = "none named"
GAPS = ("regard", "sentiment", "declined")


@dataclass(frozen=True, slots=True)
class Material:
    """All that a report is made of. `chosen` are the answers that were to be judged, `failures` why
    some were not; `earlier` are reports of the same judge, the oldest first; `mentions` gives the
    groups of people that a text names."""

    signature: str
    since: datetime
    until: datetime
    seed: int
    given: Sequence[GivenAnswer]
    chosen: Sequence[UUID]
    judged: Sequence[JudgedAnswer]
    failures: Mapping[UUID, str]
    said: Sequence[LastWord]
    earlier: Sequence[Json]
    mentions: Callable[[str], Iterable[str]]
    probed: Compared | None = None


def make(material: Material) -> Json:
    given = {one.answer_id: one for one in material.given}
    judged = list(material.judged)
    whole = figure(judged, seed=material.seed)
    by = _slices(material, given)
    tests = adjusted([*_since_last(material, whole), *_releases(by["release"])])
    return {
        "kind": KIND,
        "version": VERSION,
        "judge": material.signature,
        "since": written(material.since),
        "until": written(material.until),
        "seed": material.seed,
        "draws": DRAWS,
        "confidence": LEVEL,
        "answers": {
            "given": len(given),
            "declined": sum(one.declined for one in given.values()),
            "withheld": sum(one.withheld for one in given.values()),
            "chosen": len(material.chosen),
            "judged": len(judged),
            "abstained": whole["abstained"],
        },
        "failures": _failures(material.failures),
        "whole": whole,
        "by": by,
        "dimensions": _dimensions(judged),
        "trend": _trend(material, whole),
        "tests": tests,
        "declines": [one for one in tests if one["significant"] and one["worse"]],
        "gaps": _gaps(material.probed),
        "probes": as_object(material.probed) if material.probed else None,
        "reviews": _reviews(material.said),
        "worst": _worst(judged, given, material.said),
        "doubtful": _doubtful(judged, given, material.said),
    }


def period(found: Mapping[str, Any]) -> str:
    """The first and the last day of a report."""
    last = datetime.fromisoformat(found["until"]) - timedelta(seconds=1)
    return f"{found['since'][:10]} to {last:%Y-%m-%d}"


def written(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _slices(material: Material, given: Mapping[UUID, GivenAnswer]) -> dict[str, list[Json]]:
    """Releases by their first answer, days in order, groups and collections by their size."""
    slices: dict[str, dict[str, list[JudgedAnswer]]] = {
        name: {} for name in ("release", "day", "collection", "group")
    }
    for one in material.judged:
        about = given[one.answer_id]
        groups = sorted(set(material.mentions(f"{one.question}\n{one.answer}"))) or [NO_GROUP]
        values = {
            "release": [about.release_id],
            "day": [about.day],
            "collection": [about.collection],
            "group": groups,
        }
        for name, found in values.items():
            for value in found:
                slices[name].setdefault(value, []).append(one)
    for name in ("collection", "group"):
        ordered = sorted(slices[name].items(), key=lambda item: (-len(item[1]), item[0]))
        slices[name] = dict(ordered)
    return {
        name: [
            {"value": value, "figure": figure(found, seed=material.seed)}
            for value, found in values.items()
        ]
        for name, values in slices.items()
    }


def _since_last(material: Material, whole: Json) -> list[Json]:
    """Against the last one that has no day in common: shared answers hide what changed."""
    before = [one for one in material.earlier if one["until"] <= written(material.since)]
    if not before:
        return []
    last = before[-1]
    return changes("report", f"since the report of {period(last)}", last["whole"], whole)


def _releases(releases: Sequence[Json]) -> list[Json]:
    """Each against the one that answered before it."""
    return [
        change
        for a, b in pairwise(releases)
        for change in changes("release", f"{a['value']} to {b['value']}", a["figure"], b["figure"])
    ]


def _dimensions(judged: Sequence[JudgedAnswer]) -> list[Json]:
    """How many of each level there are, by the dimension that counts most."""
    counted = Counter((one.dimension or UNTOLD, one.level) for one in judged if one.sure)
    return [
        {"value": name, "levels": [counted[name, level] for level in LEVELS]}
        for name in (*(one.value for one in Dimension), UNTOLD)
    ]


def _trend(material: Material, whole: Json) -> list[Json]:
    known = [
        {key: one[key] for key in ("since", "until", "whole")}
        for one in material.earlier[-EARLIER:]
    ]
    now = {"since": written(material.since), "until": written(material.until), "whole": whole}
    return [*known, now]


def _failures(failures: Mapping[Any, str]) -> list[Json]:
    """The most frequent first."""
    by_reason: dict[str, list[str]] = {}
    for answer_id, reason in failures.items():
        by_reason.setdefault(reason, []).append(str(answer_id))
    ordered = sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0]))
    return [{"name": name, "count": len(ids), "ids": sorted(ids)} for name, ids in ordered]


def _gaps(probed: Compared | None) -> list[Json]:
    """Shown by the probes' own family of tests, in what is unequal treatment; a longer answer or
    another order of passages is not in itself."""
    if probed is None:
        return []
    return [one for one in as_object(probed)["effects"] if one["holds"] and one["measure"] in GAPS]


def _reviews(said: Sequence[LastWord]) -> Json:
    """`higher` is how much fairer people find the answers than the judge, in levels."""
    n = len(said)
    return {
        "n": n,
        "confirmed": sum(one.confirms for one in said),
        "within_one": sum(abs(one.level - one.judged) <= 1 for one in said),
        "higher": number(sum(one.level - one.judged for one in said) / n) if n else None,
    }


def _worst(
    judged: Sequence[JudgedAnswer], given: Mapping[UUID, GivenAnswer], said: Sequence[LastWord]
) -> list[Json]:
    """Below the best level, of those that the judge is sure of."""
    low = [one for one in judged if one.sure and one.level < LEVELS[-1]]
    return _shown(low, given, said, WORST)


def _doubtful(
    judged: Sequence[JudgedAnswer], given: Mapping[UUID, GivenAnswer], said: Sequence[LastWord]
) -> list[Json]:
    """What reads as harmful to a judge that is not sure of it, so that a person should look."""
    low = [one for one in judged if not one.sure and one.level <= HARMFUL]
    return _shown(low, given, said, DOUBTFUL)


def _shown(
    judged: Sequence[JudgedAnswer],
    given: Mapping[UUID, GivenAnswer],
    said: Sequence[LastWord],
    most: int,
) -> list[Json]:
    """The lowest ones. Without who asked; and what looks personal is taken out."""
    ordered = sorted(judged, key=lambda one: (one.score, str(one.answer_id)))
    return [
        {
            "answer_id": str(one.answer_id),
            "level": one.level,
            "score": number(one.score),
            "dimension": one.dimension,
            "reason": _plain(one.reason),
            "question": _plain(one.question)[:LONGEST],
            "answer": _pieces(one),
            "day": given[one.answer_id].day,
            "release": given[one.answer_id].release_id,
            "collection": given[one.answer_id].collection,
            "reviews": [by.level for by in said if by.answer_id == one.answer_id],
        }
        for one in ordered[:most]
    ]


def _plain(text: str) -> str:
    return "".join(piece for piece, _ in redacted(text))


def _pieces(one: JudgedAnswer) -> list[Json]:
    """The answer, or its part about the first evidence; that is marked."""
    marks = sorted((part["start"], part["end"]) for part in one.evidence)
    pieces: list[Json] = []
    skipped = _skipped(redacted(one.answer, marks))
    room = LONGEST
    for text, marked in skipped:
        if room > 0:
            pieces.append(
                {"text": text[:room] + ("…" if len(text) > room else ""), "marked": marked}
            )
        room -= len(text)
    return pieces


def _skipped(pieces: Sequence[tuple[str, bool]]) -> list[tuple[str, bool]]:
    """Without what comes long before the first mark of a long answer."""
    first = next((n for n, (_, marked) in enumerate(pieces) if marked), 0)
    lead = "".join(text for text, _ in pieces[:first])
    if sum(len(text) for text, _ in pieces) > LONGEST and len(lead) > BEFORE:
        return [("…" + lead[-BEFORE:], False), *pieces[first:]]
    return list(pieces)
