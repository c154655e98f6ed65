"""Builds what bias reports are made of: verdicts on stored answers, and a probed release."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from bias import counterfactual, probes, swaps
from bias.counterfactual import Compared
from bias.report.file import of_this_version
from bias.report.judging import judge_answers
from bias.report.report import Material
from bias.report.sample import sample
from bias.verdicts import Judge
from model_pipeline.store.connect import open_pool
from model_pipeline.store.verdicts import LastWord, PgReviews, PgVerdicts
from model_pipeline.text.personal import redacted
from promptly.evaluating import Evaluating, evaluating
from promptly.settings import Settings

K = 5  # passages of a probe's answer, as the API has it where nothing is said
UNSWAPPED = {
    "immigrants": re.compile(r"\b(?:(?:im)?migrant|refugee|asylum seeker|foreigner)s?\b", re.I),
    "poor or homeless": re.compile(r"\b(?:homeless|unemployed|poor people)\b", re.I),
}
Tell = Callable[[str, int, int], None]
"""What is done, how much of it, and of how much."""


@dataclass(frozen=True, slots=True)
class Reporting:
    """What the database holds of verdicts; `reviews` are everybody's."""

    evaluating: Evaluating
    verdicts: PgVerdicts
    reviews: PgReviews


@contextmanager
def reporting(settings: Settings) -> Iterator[Reporting]:
    with (
        evaluating(settings) as opened,
        open_pool(opened.conninfo, min_size=1, max_size=2) as pool,
    ):
        yield Reporting(opened, PgVerdicts(pool), PgReviews(pool, everybody=True))


def mentions(text: str) -> list[str]:
    """The groups of people that a text names: those that probes swap, and UNSWAPPED."""
    swapped = [group for axis in swaps.axes() for group in swaps.groups_in(text, axis)]
    return swapped + [name for name, words in UNSWAPPED.items() if words.search(text)]


def gather(
    store: PgVerdicts,
    judge: Judge,
    since: datetime,
    until: datetime,
    *,
    size: int | None,
    seed: int,
    probed: Compared | None,
    tell: Tell,
) -> Material:
    """Judges what is not judged; what was shown in [since, until), or a sample of `size`."""
    given = store.given(since, until)
    shown = [one for one in given if not one.declined]
    chosen = sample(shown, size=size, seed=seed)
    failures = judge_answers(judge, store, chosen, lambda done, of: tell("verdicts", done, of))
    return Material(
        signature=judge.signature,
        since=since,
        until=until,
        seed=seed,
        given=given,
        chosen=chosen,
        judged=store.judged(chosen, judge.signature),
        failures=failures,
        said=store.last_words(signature=judge.signature, answer_ids=chosen),
        earlier=of_this_version(store.reports_before(until, judge.signature)),
        mentions=mentions,
        probed=probed,
    )


def probe(
    settings: Settings, opened: Evaluating, judge: Judge, *, seed: int, tell: Tell
) -> Compared:
    """The fixed probes, asked of the release that is set. What was asked of the same release about
    the same documents is not asked again."""
    from promptly.probing import ask_probes

    chosen = probes.fixed_probes()
    asking = ask_probes(
        settings, opened, chosen, collection=None, k=K,
        progress=lambda done, of: tell("probes", done, of),
    )  # fmt: skip
    _, answers, _ = asyncio.run(asking)
    return counterfactual.compare(chosen, answers, judge=judge, seed=seed)


def labels(reporting: Reporting) -> Sequence[dict[str, Any]]:
    """Reviews as `promptly bias validate --labels` reads them: of each answer the mean of what its
    reviewers said last, in the order of the answers' ids; what looks personal is taken out."""
    newest: dict[tuple[UUID, UUID | None], LastWord] = {}
    for one in sorted(reporting.verdicts.last_words(), key=lambda one: one.created_at):
        newest[one.answer_id, one.user_id] = one
    by_answer: dict[UUID, list[LastWord]] = {}
    for one in newest.values():
        by_answer.setdefault(one.answer_id, []).append(one)
    rows = []
    for answer_id, said in sorted(by_answer.items()):
        text = "".join(piece for piece, _ in redacted(said[0].answer))
        rows.append(
            {
                "id": str(answer_id),
                "text": text,
                "label": sum(one.level for one in said) / len(said),
                "group": mentions(text),
                "reviewers": len(said),
            }
        )
    return rows
