"""The model card: what a version was made of and how, what it measures up to, and where it ends."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from model_pipeline.errors import ConfigurationError, InvalidInput
from model_pipeline.evaluation import wording
from model_pipeline.evaluation.scorecard import SMALL, Scorecard
from training.hub import private
from training.hub.client import INSTALL
from training.hub.files import VersionFiles

ROWS = 60  # of a table
FEW = 8  # values of a list that is shown
FOREMOST = (
    "faithfulness relevance coverage rouge_l_f1 bleu_4 citation_precision reliability".split()
)
OTHER_LICENSE = "other"
Row = tuple[str, str]


@dataclass(frozen=True, slots=True)
class CardFacts:
    """`license` is an identifier of the Hub, such as apache-2.0. `bias` is the `whole` of a bias
    report with its `judge`, `data` the manifest of the training data."""

    license: str | None = None
    scorecard: Scorecard | None = None
    bias: Mapping[str, Any] | None = None
    data: Mapping[str, Any] | None = None
    language: str | None = None


def model_card(repo: str, files: VersionFiles, given: CardFacts) -> str:
    """README.md of the version. Raises InvalidInput where what is given is of another model's
    training data, or has a secret in it."""
    hashed = files.facts.get("dataset_hash")
    if given.data is not None and given.data.get("hash") != hashed:
        raise InvalidInput(
            f"The training data given is {str(given.data.get('hash'))[:12]}, and the model was "
            f"made from {str(hashed)[:12]}: give the folder it was made from."
        )
    metrics, compared = _apart(rows(_metrics(files)))
    body = _template().render(
        title=repo.partition("/")[2],
        repo=repo,
        kind=files.kind,
        base=files.base,
        made_from=files.made_from,
        facts={"seed": None, "git_commit": None, "dataset_hash": None, **files.facts},
        license=given.license or OTHER_LICENSE,
        data=rows(given.data, leave_out=("files", "format", "hash")),
        config=rows(files.facts.get("config")),
        versions=rows(files.facts.get("versions")),
        metrics=metrics,
        compared=compared,
        card=given.scorecard,
        figures=list(_figures(given.scorecard)) if given.scorecard else [],
        small=SMALL,
        bias=given.bias,
        cell=wording.cell,
        said=_said,
        count=wording.count,
    )
    card = f"---\n{_metadata(repo, files, given)}\n---\n\n{body}"
    if found := private.secret(card.replace("\\", "")):  # as it was before it was escaped
        raise InvalidInput(f"The model card would show {found[0]} (line {found[1]}).")
    return card


def rows(given: Any, *, leave_out: Sequence[str] = ()) -> list[Row]:
    """A nested object as rows of a table: keys with dots between, and values as they are read.
    What is no object has none."""
    if not isinstance(given, Mapping):
        return []
    found = [(key, one) for key, one in _flat(given) if key.partition(".")[0] not in leave_out]
    return [(wording.cell(key), wording.cell(_said(one))) for key, one in found[:ROWS]]


def _apart(found: Sequence[Row]) -> tuple[list[Row], list[tuple[str, str, str]]]:
    """What stands alone, and what was measured before and after, side by side."""
    known = dict(found)
    sides = {name: name.replace(".before.", ".after.") for name in known if ".before." in name}
    sides = {before: after for before, after in sides.items() if after in known}
    compared = [
        (before.partition(".before.")[2], known[before], known[after])
        for before, after in sides.items()
    ]
    alone = [row for row in found if row[0] not in {*sides, *sides.values()}]
    return alone, compared


def _metadata(repo: str, files: VersionFiles, given: CardFacts) -> str:
    """As the Hub reads it: YAML."""
    try:
        from huggingface_hub import ModelCardData
    except ImportError as error:
        raise ConfigurationError(f"The Hub's client is not installed: {INSTALL}.") from error
    adapter, results = files.kind == "adapter", _results(given.scorecard)
    data = ModelCardData(
        language=given.language,
        license=given.license or OTHER_LICENSE,
        base_model=files.base.partition("@")[0] if files.base else None,
        base_model_relation=("adapter" if adapter else "finetune") if files.base else None,
        library_name="peft" if adapter else "transformers",
        pipeline_tag="text-generation",
        tags=["promptly", "rag", *(["lora"] if adapter else [])],
        model_name=repo.partition("/")[2] if results else None,
        eval_results=results or None,
        promptly={"made_from": files.made_from, "kind": files.kind},
    )
    return str(data.to_yaml(line_break="\n")).strip()


def _results(card: Scorecard | None) -> list[Any]:
    if card is None:
        return []
    from huggingface_hub import EvalResult

    return [
        EvalResult(
            task_type="text-generation",
            dataset_type="promptly-test-set",
            dataset_name=" ".join(wording.cut(card.test_set, 100).split()),
            dataset_revision=card.test_set_hash,
            metric_type=name,
            metric_name=wording.label(name),
            metric_value=round(card.figures[name].value, 4),
        )
        for name in FOREMOST
        if name in card.figures and math.isfinite(card.figures[name].value)
    ]


def _figures(card: Scorecard) -> Iterator[tuple[str, str, str, int, int]]:
    for one in card.measured:
        figure = card.figures[one.name]
        shown = wording.number(one.name, figure.value)
        between = wording.between(one.name, figure.interval)
        yield wording.label(one.name), shown, between, figure.n, len(one.failures)


def _metrics(files: VersionFiles) -> Any:
    given = files.content.get("metrics.json", b"null")
    return json.loads(given if isinstance(given, bytes) else given.read_bytes())


def _flat(given: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in given.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")
        elif not isinstance(value, list):
            yield f"{before}{key}", value
        elif 0 < len(value) <= FEW:  # a curve is for a plot
            yield f"{before}{key}", ", ".join(map(str, value))


def _said(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return wording.NONE if value is None else str(value)


def _template() -> Any:
    environment = Environment(
        loader=PackageLoader("training"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701 - Markdown: what is given goes through `cell`
    )
    return environment.get_template("model_card.md.j2")
