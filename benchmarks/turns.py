"""MTRAG-UN's conversations: each task is a question with the turns before it, and whether the
documents answer it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Literal

from benchmarks.corpora import DATA
from model_pipeline.domain import Turn

FILE = DATA / "mtrag/mtragun-human/generation_tasks/reference.jsonl"
Label = Literal["ANSWERABLE", "PARTIAL", "UNANSWERABLE", "UNDERSPECIFIED"]
SPEAKERS: dict[str, Literal["user", "assistant"]] = {"user": "user", "agent": "assistant"}


@dataclass(frozen=True)
class Task:
    """`half` is 0 or 1 by a hash of the conversation: what is chosen is chosen on 0."""

    task_id: str
    half: int
    label: Label
    question: str
    history: tuple[Turn, ...]


def half(name: str) -> int:
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % 2


def tasks() -> list[Task]:
    return [_task(json.loads(line)) for line in FILE.read_text(encoding="utf-8").splitlines()]


def _task(row: dict[str, object]) -> Task:
    turns = [Turn(SPEAKERS[turn["speaker"]], turn["text"].strip()) for turn in row["input"]]  # type: ignore[attr-defined]
    return Task(
        task_id=str(row["task_id"]),
        half=half(str(row["conversation_id"])),
        label=row["answerability"][0],  # type: ignore[index]
        question=turns[-1].content,
        history=tuple(turns[:-1]),
    )
