"""How well generated sentences are told apart by whether their passages say them.

    python -m benchmarks.support

Sentences that people wrote as answers, from the public data sets: against the passages they were
written from, against those of another question of the same collection, and changed so that they are
wrong: another number, another name, a denial. The share that is taken to be supported, of each.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from benchmarks.corpora import DATA
from model_pipeline.domain import Embedder, Passage
from model_pipeline.embedding.onnx_embedder import open_onnx_embedder
from model_pipeline.text.sentences import sentences
from model_pipeline.text.words import NAME, NUMBER
from rag_service.generate.align import Aligner

ANSWERS = 60
VERB = re.compile(r"\b(?:is|are|can|was|were|will|should|has|must)\b")


@dataclass(frozen=True, slots=True)
class Answered:
    question: str
    answer: str
    passages: tuple[Passage, ...]
    collection: str


def _passage(text: str, title: str = "") -> Passage:
    return Passage(uuid4(), uuid4(), "", title, (), text, {}, 0, 0.0)


def _anthropic(data: Path) -> Iterator[Answered]:
    chunks = {
        one["chunk_link"]: _passage(one["text"], one["chunk_heading"])
        for one in json.loads((data / "anthropic_docs.json").read_text())
    }
    for one in json.loads((data / "docs_evaluation_dataset.json").read_text()):
        found = tuple(chunks[link] for link in one["correct_chunks"] if link in chunks)
        yield Answered(one["question"], one["correct_answer"], found, "docs")


def _mtrag(data: Path) -> Iterator[Answered]:
    path = data / "mtragun-human" / "generation_tasks" / "reference.jsonl"
    for line in path.read_text().splitlines():
        one = json.loads(line)
        if one["answerability"] == ["ANSWERABLE"]:
            found = tuple(
                _passage(each["text"], each.get("title") or "") for each in one["contexts"]
            )
            yield Answered(
                one["input"][-1]["text"], one["targets"][0]["text"], found, one["Collection"]
            )


def _wrong(text: str, names: list[str], rng: random.Random) -> Iterator[tuple[str, str]]:
    """`text` made wrong, by kind. A number that begins it may be a list's."""
    number = NUMBER.search(text, 4)
    if number:
        other = str(int(re.sub(r"\D", "", number[0])) + 7)
        yield "another number", text[: number.start()] + other + text[number.end() :]
    if verb := VERB.search(text):
        yield "denied", f"{text[: verb.end()]} not{text[verb.end() :]}"
    if found := list(NAME.finditer(text)):
        name = rng.choice(found)
        other = rng.choice([one for one in names if one.lower() not in text.lower()])
        yield "another name", text[: name.start()] + other + text[name.end() :]


def measure(answers: list[Answered], embedder: Embedder) -> dict[str, tuple[int, int]]:
    """(taken to be supported, of) by kind."""
    rng = random.Random(1)
    answers = [one for one in answers if one.passages]
    rng.shuffle(answers)
    answers = answers[:ANSWERS]
    names = sorted({name for one in answers for name in NAME.findall(one.answer)})
    taken, of = Counter[str](), Counter[str]()

    def count(kind: str, aligner: Aligner, claim: str) -> bool:
        found = bool(aligner.supports(claim, []))
        taken[kind] += found
        of[kind] += 1
        return found

    for one in answers:
        own = Aligner(embedder, one.passages, one.question)
        alike = [other for other in answers if other.collection == one.collection and other != one]
        others = Aligner(embedder, rng.choice(alike).passages, one.question)
        for sentence in sentences(one.answer):
            claim = one.answer[sentence.start : sentence.end]
            if len(claim.split()) < 5:
                continue
            count("of other passages", others, claim)
            if count("of its passages", own, claim):
                for kind, wrong in _wrong(claim, names, rng):
                    count(kind, own, wrong)
    return {kind: (taken[kind], of[kind]) for kind in of}


def main() -> None:
    embedder = open_onnx_embedder(cache_dir=Path("~/.promptly/cache").expanduser(), threads=2)
    for name, answers in (
        ("anthropic_docs_qa", list(_anthropic(DATA / "anthropic_docs_qa"))),
        ("mtrag", list(_mtrag(DATA / "mtrag"))),
    ):
        for kind, (taken, of) in measure(answers, embedder).items():
            print(f"{name}\t{kind}\t{taken} of {of}\t{taken / of:.0%}")


if __name__ == "__main__":
    main()
