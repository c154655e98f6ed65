"""Passages, questions and judgements in BEIR's form, from the public data beside the project."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("PROMPTLY_SHARED_DATA", ROOT.parent / "shared" / "data"))
NAMES = ("anthropic_docs_qa/beir", "mtrag/beir_un")


@dataclass(frozen=True)
class Corpus:
    """`relevant`: for each question's id, its relevant passages' ids and grades."""

    name: str
    path: Path
    passages: dict[str, str]
    questions: dict[str, str]
    relevant: dict[str, dict[str, int]]

    @property
    def collection(self) -> str:
        return self.name.split("/")[0]


def corpora() -> list[Corpus]:
    if not DATA.is_dir():
        raise SystemExit(f"The public data sets are not at {DATA}: set PROMPTLY_SHARED_DATA.")
    return [_load(name) for name in NAMES]


def _load(name: str) -> Corpus:
    def rows(file: str) -> dict[str, str]:
        lines = (DATA / name / file).read_text(encoding="utf-8").splitlines()
        return {row["_id"]: row["text"] for row in map(json.loads, lines)}

    relevant: dict[str, dict[str, int]] = {}
    for line in (DATA / name / "qrels.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        question, passage, grade = line.split("\t")
        relevant.setdefault(question, {})[passage] = int(grade)
    questions = {key: text for key, text in rows("queries.jsonl").items() if key in relevant}
    path = DATA / name / "corpus.jsonl"
    return Corpus(name, path, rows("corpus.jsonl"), questions, relevant)
