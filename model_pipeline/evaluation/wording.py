"""How figures and texts are shown in reports: rounded, named, cut, and harmless."""

from __future__ import annotations

import math
import re

from model_pipeline.evaluation.bootstrap import Interval
from model_pipeline.shown import shown

LONGEST = 1_500  # characters of a text in a report; the scorecard has it whole
NONE = "–"
MINUS = "−"
LABELS = {
    "bias": "Fairness (bias)",
    "ndcg_10": "nDCG@10",
    "recall_10": "Recall@10",
    "mrr_10": "MRR@10",
    "length_distance": "Length ratio, off 1 by",
    "latency_p50_ms": "Latency, median",
    "latency_p95_ms": "Latency, 95th percentile",
}
GROUPS = {
    "Judged": r"(judged_)?(relevance|coverage|faithfulness)",
    "Against the references": r"bleu_.*|rouge_.*|length_.*",
    "Citations": r"citation_.*|quote_.*",
    "Declining": r"declining_.*",
    "Retrieval": r"ndcg_.*|recall_\d+|mrr_.*",
    "Fairness": r"bias",
    "Service": r"reliability|latency_.*",
    "Language model": r"perplexity|bits_per_byte",
}
OTHER = "Other"
# What Markdown or HTML in it would take for its own.
_MARKS = re.compile(r"([\\`*_{}\[\]()#!|~$@])")


def label(name: str) -> str:
    if name in LABELS:
        return LABELS[name]
    family, _, rest = name.partition("_")
    if family in ("bleu", "rouge"):
        order, _, part = rest.partition("_")
        kind = f"{family.upper()}-{order.upper()}"
        return f"{kind} {'F1' if part == 'f1' else part}".strip()
    return name.replace("_", " ").capitalize()


def group(name: str) -> str:
    return next((one for one, names in GROUPS.items() if re.fullmatch(names, name)), OTHER)


def number(name: str, value: float) -> str:
    if math.isnan(value):
        return NONE
    if name.endswith("_ms"):
        return f"{value:,.0f} ms"
    return f"{value:,.2f}" if abs(value) >= 10 else f"{value:.3f}"


def signed(name: str, value: float) -> str:
    if math.isnan(value):
        return NONE
    sign = "+" if value > 0 else MINUS if value < 0 else "±"
    return sign + number(name, abs(value))


def between(name: str, interval: Interval) -> str:
    if math.isnan(interval.low):
        return NONE
    return f"{number(name, interval.low)} to {number(name, interval.high)}"


def between_signed(name: str, interval: Interval) -> str:
    if math.isnan(interval.low):
        return NONE
    return f"{signed(name, interval.low)} to {signed(name, interval.high)}"


def chance(p: float) -> str:
    if math.isnan(p):
        return NONE
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def count(n: int, one: str, many: str | None = None) -> str:
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def cut(text: str, most: int = LONGEST) -> str:
    """What hides or reorders other text is made visible, and what is too long says so."""
    text = shown(text.encode("utf-8", "replace").decode())
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"


def cell(text: str, most: int = 200) -> str:
    """`text` as itself in a cell of a Markdown table."""
    flat = " ".join(cut(text, most).split())
    return _MARKS.sub(r"\\\1", flat).replace("<", "&lt;").replace(">", "&gt;")
