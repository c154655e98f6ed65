"""The data card of training data: Markdown as the Hub shows it, and a page with plots and no
script."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from model_pipeline.evaluation import charts, wording
from model_pipeline.evaluation.report import page
from training.data.asked import Left
from training.data.counts import Counts
from training.data.split import SIDES

ABOUT = (
    ("source", "Where rows are from"),
    ("collection", "Collections asked"),
    ("answer", "Answered or declined"),
    ("kind", "Kinds of questions"),
    ("passages", "Passages shown"),
)
NAMES = {
    "corpus": "questions of documents",
    "corrected": "answers that somebody corrected",
    "liked": "answers that somebody liked",
    "answered": "answered",
    "declined": "declined: not in the passages",
}
WHY = {
    "duplicate": "say nearly what another row says",
    "leaked": "stand in a frozen test set, nearly the same",
    "personal": "hold what looks personal",
    "astride": "need documents of both sides of the split",
    "nothing_found": "found no passage that could be shown",
    "not_found": "are answered by what a search does not find among the best",
    "answered_elsewhere": "were to be declined, but passages that were found may answer them",
    "unsupported": "have an answer that no passage says",
    "too_long": "do not fit in what the model reads",
}
MOST_NAMES = 40  # of one kind; the manifest has all


def why(left_out: Left) -> str:
    """The reasons, to end a sentence with."""
    found = [f"{many:,} {WHY[name]}" for name, many in left_out.most_common() if many]
    return f" (left out: {', '.join(found)})" if found else ""


def markdown(facts: Mapping[str, Any], counts: Counts) -> str:
    cell = wording.cell
    made, documents = facts["made"], counts.documents
    lines = [
        "---",
        "pretty_name: Promptly training data",
        "task_categories: [question-answering, text-generation]",
        f"size_categories: [{_size(counts.rows())}]",
        "configs:",
        "- config_name: default",
        "  data_files:",
        *(f"  - {{split: {side}, path: {side}.jsonl}}" for side in SIDES),
        "---",
        "",
        "# Training data",
        "",
        f"{wording.count(counts.rows(), 'row')} for fine-tuning a model that answers from passages "
        "and cites them: prompts as the service sends them, and the answers to learn. "
        f"Hash `{facts['hash']}`.",
        "",
        "| | rows | documents |",
        "| :-- | --: | --: |",
        *(f"| {side} | {counts.rows(side):,} | {len(documents[side]):,} |" for side in SIDES),
        "",
    ]
    for what, title in ABOUT:
        lines += [f"| {title} | rows | share |", "| :-- | --: | --: |"]
        lines += [
            f"| {cell(NAMES.get(name, name))} | {many:,} | {many / max(counts.rows(), 1):.0%} |"
            for name, many in list(counts.by(what).items())[:MOST_NAMES]
        ]
        lines.append("")
    lines += ["| Left out, since they | how many |", "| :-- | --: |"]
    lines += [f"| {WHY[name]} | {many:,} |" for name, many in _left_out(counts)]
    asked_for = ", ".join(made["collections"]) or "all"
    return "\n".join(
        [
            *lines,
            "",
            "## How it was made",
            "",
            f"By `promptly train data` of collections: {cell(asked_for, 1_000)}; at most "
            f"{made['n']:,} rows, seed {made['seed']}, {made['validation']:.0%} of the documents "
            f"for validation, questions by {made['by']}, prompt `{facts['prompt']}`. The same "
            "material gives the same bytes.",
            "",
            *(f"- {one}" for one in _promises(facts)),
            "",
            "## Limits",
            "",
            *(f"- {one}" for one in LIMITS),
            "",
        ]
    )


def html(facts: Mapping[str, Any], counts: Counts) -> str:
    return page(
        "training_data.html.j2",
        package="training",
        facts=facts,
        rows=counts.rows(),
        sides=[(one, counts.rows(one), len(counts.documents[one])) for one in SIDES],
        groups=[(title, _bars(counts.by(what), counts.rows())) for what, title in ABOUT],
        left_out=[(WHY[name], many) for name, many in _left_out(counts)],
        lengths=[
            _lengths("Characters of a prompt", counts.prompt_characters),
            _lengths("Words of an answer", counts.answer_words),
        ],
        promises=_promises(facts),
        limits=LIMITS,
    )


LIMITS = (
    "Questions of documents are made by rules of English sentences or by a model, and answered by "
    "those sentences: plainer than what people ask.",
    "Near-duplicates and leaks are found by their characters: not paraphrases, nor translations.",
    "What looks personal is found by its form: addresses, numbers, names given as one's own. Other "
    "names stay.",
    "Rows hold passages of your documents to the letter: share them with nobody who may not read "
    "those.",
)


def _promises(facts: Mapping[str, Any]) -> list[str]:
    sets = wording.count(len(facts["test_sets"]), "frozen test set")
    return [
        f"Nothing in it stands nearly the same in a question or answer of {sets}."
        if facts["test_sets"]
        else "There is no frozen test set yet, so that nothing was checked for leaks.",
        "No document is on both sides, neither asked about nor shown beside others; copies of one "
        "under other names are one document.",
        "Nearly the same question and answer is there once, the best rated and newest of people's.",
        "What looks personal is in no question or answer, and is taken out of passages.",
        "Taken in turn over where rows are from, collections, documents and kinds of questions.",
    ]


def _left_out(counts: Counts) -> list[tuple[str, int]]:
    return [(name, many) for name, many in counts.left_out.most_common() if many]


def _bars(found: Mapping[str, int], rows: int) -> list[tuple[str, Markup, int]]:
    shown = []
    for name, many in list(found.items())[:MOST_NAMES]:
        label = wording.cut(NAMES.get(name, name), 80)
        parts = [("share", many), ("tie", rows - many)]
        shown.append((label, charts.shares(parts, says=f"{label}: {many:,} of {rows:,}"), many))
    return shown


def _lengths(title: str, values: Sequence[int]) -> tuple[str, Markup, Markup, str]:
    """A plot with its axis, from 0 to a round number beyond nearly all."""
    found = np.asarray(values, dtype=np.float64)
    most = float(np.quantile(found, 0.99)) or 1.0
    step = 10.0 ** math.floor(math.log10(most))
    scale = charts.Scale(0.0, step * math.ceil(most / step))
    median = float(np.median(found))
    says = f"{title}: half of the rows have at most {median:,.0f}"
    plot = charts.histogram(found, scale, median, says=says)
    return title, plot, charts.axis(scale), f"median {median:,.0f}, most {found.max():,.0f}"


def _size(rows: int) -> str:
    """The Hub's names for it."""
    bounds = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"))
    return next((name for most, name in bounds if rows < most), "100K<n<1M")
