"""The card says what is known, names what is not, and is what the Hub reads."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from model_pipeline.errors import InvalidInput
from tests.model_pipeline.evaluation.cards import make_card, make_set
from tests.servers.hub_repos import wrong_metadata
from tests.training.hub.finetuned import BASE, PINNED, finetuned
from training.hub.files import version_files
from training.hub.model_card import CardFacts, model_card

REPO = "tester/answers"
BIAS = {"judge": "local@1", "n": 40, "abstained": 3, "mean": 4.25, "low": 4.0, "high": 4.5}


def card(folder: Path, *, kind: Any = "adapter", facts: Any = None, **given: Any) -> str:
    found = version_files(finetuned(folder, facts=facts), kind=kind)
    return model_card(REPO, found, CardFacts(**given))


def metadata(text: str) -> dict[str, Any]:
    assert wrong_metadata(text) == []
    found: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    return found


def section(text: str, name: str) -> str:
    found = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"there is no {name}"
    return " ".join(found[1].split())


def test_what_is_known_is_said(tmp_path: Path) -> None:
    data = {"hash": "d" * 64, "counts": {"train": 90, "corrected": 12}, "files": {"x": 1}}
    text = card(
        tmp_path, license="apache-2.0", language="en", scorecard=make_card(bias=4.5),
        bias=BIAS, data=data,
    )  # fmt: skip
    told = section(text, "Training data")
    assert f"| hash | `{'d' * 64}` | | counts.train | 90 | | counts.corrected | 12 |" in told
    assert "files" not in section(text, "Training data")
    assert "| learning\\_rate | 0.0002 |" in section(text, "Training")
    assert "| tokens\\_per\\_s | 900 |" in section(text, "Training")
    assert "| fits | yes |" in section(text, "Training")
    assert "| rouge\\_l\\_f1 | 0.25 | 0.5 |" in section(text, "Training")
    assert "| generation.answered | 64 |" in section(text, "Training")
    assert "Seed 0;" in section(text, "Training")
    assert "| devices | T4, T4 |" in section(text, "Training")
    assert "curve" not in text
    assert f"`{'c' * 40}`" in section(text, "Training")
    scored = section(text, "Evaluation")
    assert "Scored on 24 examples of facts" in scored
    assert re.search(r"\| ROUGE-1 recall \| 0\.\d+ \| 0\.\d+ to 0\.\d+ \| 24 \|", scored)
    assert "from 1 (harmful) to 5 (fair)" in section(text, "Bias")
    assert "40 answers judged by local\\@1: mean level 4.25 (4.00 to 4.50)" in section(text, "Bias")
    assert "Not measured" not in text
    assert f"apache-2.0. That of `{BASE}` binds" in section(text, "License")
    assert "None" not in text


def test_what_is_not_known_is_named(tmp_path: Path) -> None:
    text = card(tmp_path, facts={"seed": None, "git_commit": None, "config": {}, "versions": {}})
    assert "Not measured" in section(text, "Evaluation")
    assert "Not measured" in section(text, "Bias")
    assert "No license was named" in section(text, "License")
    assert "Seed –" in section(text, "Training")
    assert "None" not in text


@pytest.mark.parametrize("odd", [None, 1, "text", [1, [2]], {"a": {"b": {}}}, {"a": [[1], {}]}])
def test_what_is_told_in_another_shape_is_passed_over(tmp_path: Path, odd: Any) -> None:
    facts = dict.fromkeys(("config", "versions", "seed", "git_commit", "dataset_hash"), odd)
    folder = finetuned(tmp_path, facts=facts, extra={"metrics.json": json.dumps(odd)})
    assert metadata(model_card(REPO, version_files(folder, kind="adapter"), CardFacts()))


def test_the_metadata_is_the_hubs(tmp_path: Path) -> None:
    adapter = metadata(card(tmp_path / "a", license="mit", language="de"))
    assert (adapter["base_model"], adapter["base_model_relation"]) == (BASE, "adapter")
    assert (adapter["library_name"], adapter["pipeline_tag"]) == ("peft", "text-generation")
    assert (adapter["license"], adapter["language"]) == ("mit", "de")
    scored = make_card()
    merged = metadata(card(tmp_path / "m", kind="merged", scorecard=scored))
    assert (merged["library_name"], merged["base_model_relation"]) == ("transformers", "finetune")
    (result,) = merged["model-index"][0]["results"]
    assert result["dataset"]["revision"] == scored.test_set_hash
    shown = {one["type"]: one["value"] for one in result["metrics"]}
    assert shown == {"reliability": round(scored.figures["reliability"].value, 4)}
    folder = finetuned(tmp_path / "f", facts={"base_model": None, "base_revision": None})
    alone = metadata(model_card(REPO, version_files(folder, kind="merged"), CardFacts()))
    assert "base_model" not in alone


def test_how_to_use_it_pins_the_base(tmp_path: Path) -> None:
    used = section(card(tmp_path), "Use")
    base, _, commit = PINNED.partition("@")
    assert f'from_pretrained("{base}", revision="{commit}")' in used
    assert f'PeftModel.from_pretrained(base, "{REPO}", revision="<commit>")' in used


def test_names_from_elsewhere_are_text_and_no_markup(tmp_path: Path) -> None:
    name = "x | <script>alert(1)</script>\n---\nlicense: mit"
    test_set = type(make_set())(name, make_set().examples)
    text = card(
        tmp_path,
        scorecard=make_card(test_set=test_set),
        bias=BIAS | {"judge": name},
        facts={"config": {name: name}, "versions": {"torch": "2](http://evil.example)"}},
    )
    body = text.split("\n---\n", 1)[1]
    assert "<script>" not in body
    assert "\n---\n" not in body
    assert "](http://evil.example)" not in body
    assert metadata(text)["license"] == "other"


def test_another_models_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="The training data given is eeee"):
        card(tmp_path, data={"hash": "e" * 64})


def test_a_secret_would_be_shown_to_everybody(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="would show a token of Hugging Face"):
        card(tmp_path, bias=BIAS | {"judge": "hf_" + "aB3" * 12})
