"""`python -m benchmarks.cache`: how often a kept answer would be given to another question. (What
giving one takes, benchmarks.hits tells.)

Pairs of questions, three kinds:

- *asked*: of 5,308 questions that people asked about Ray, every pair of up to 120 characters each
  whose cosine is 0.90 or more, 237 in all, read one by one and labelled: the same, or another
  (alike_pairs.tsv, by their digests; the questions are Anyscale's, CC BY 4.0).
- *made*: questions of four collections with one thing changed that changes the answer.
- *neighbours*: each question of the same collections against all others that have another answer.

The threshold is chosen on one half of each and reported on the other.
"""

from __future__ import annotations

import ast
import csv
import hashlib
import json
import re
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from benchmarks.corpora import DATA, corpora
from model_pipeline.embedding.onnx_embedder import OnnxEmbedder, open_onnx_embedder
from rag_service.alike import gist
from rag_service.answer_cache import THRESHOLDS

Pair = tuple[str, str]
SHOWN = (0.90, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99)
OPPOSITES = [
    tuple(pair.split("/"))
    for pair in "with/without first/last before/after enable/disable increase/decrease start/stop "
    "add/remove max/min more/less best/worst can/cannot is/isn't do/don't allowed/forbidden "
    "create/delete load/save on/off in/out local/remote input/output".split()
]
SIDES = re.compile(r"\b(\w+) (from|to|than|over|before|after|into) (\w+)\b")


def questions() -> dict[str, dict[str, str]]:
    """By collection: each question, and what its answer is told by."""
    found: dict[str, dict[str, str]] = {
        corpus.name: {
            text: str(sorted(corpus.relevant[key])) for key, text in corpus.questions.items()
        }
        for corpus in corpora()
    }

    def rows(path: str) -> list[dict[str, str]]:
        return [json.loads(line) for line in (DATA / path).read_text("utf-8").splitlines()]

    found["ray"] = {
        row["question"]: row["source"] for row in rows("ray_questions/eval-dataset-v2-alpha.jsonl")
    }
    found["shop"] = {
        row["question"]: row["truth"] for row in rows("ecommerce_catalog/ground_truth_199.jsonl")
    }
    return found


def labelled() -> list[tuple[str, Pair]]:
    """The pairs that were read. The project holds their digests alone: the texts stay where they
    are."""
    texts = {_digest(text): text for text in _asked()}
    path = Path(__file__).parent / "alike_pairs.tsv"
    with path.open(encoding="ascii", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t"))[1:]
    return [(label, (texts[one], texts[other])) for label, one, other in rows]


def _asked() -> Iterator[str]:
    """What people asked about Ray, on one line each."""
    folder = DATA / "ray_questions"
    for path in sorted(folder.glob("*.jsonl")):
        for line in filter(str.strip, path.read_text("utf-8").splitlines()):
            # One of the files is of Python's literals.
            row = ast.literal_eval(line) if line.startswith("{'") else json.loads(line)
            yield " ".join(row["question"].split())
    with (folder / "reranker-corrections.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield " ".join(row["question"].split())


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def made(asked: dict[str, str]) -> Iterator[tuple[str, Pair]]:
    """Each kind of change, wherever a question of a collection takes it."""
    names = sorted({name for one in asked for name in _names(one)})
    for number, question in enumerate(asked):
        if re.search(r"\d", question):
            change = re.sub(r"\d", lambda digit: str((int(digit[0]) + 1) % 10), question, count=1)
            yield "number", (question, change)
        for one, other in OPPOSITES:
            for a, b in ((one, other), (other, one)):
                change = re.sub(rf"\b{a}\b", b, question, count=1)
                if change != question:
                    yield "opposite", (question, change)
        if own := _names(question):
            strange = names[(number * 7) % len(names)]
            if strange not in own and own[0].lower() not in strange.lower():
                yield "name", (question, question.replace(own[0], strange))
        sides = SIDES.search(question)
        if sides and gist(sides[1]).words != gist(sides[3]).words != () != gist(sides[1]).words:
            turned = f"{sides[3]} {sides[2]} {sides[1]}"
            yield "direction", (question, question.replace(sides[0], turned, 1))
        first, _, rest = question.partition(" ")
        swaps = {"how": "Why", "what": "Who", "why": "How", "when": "Where", "which": "Whose"}
        if rest and first.lower() in swaps:
            yield "question word", (question, f"{swaps[first.lower()]} {rest}")


def _names(question: str) -> list[str]:
    """Runs of words that are written as names, but the first word."""
    return re.findall(r"(?<=[\w,] )[A-Z]\w+(?: [A-Z]\w+)*", question)


def neighbours(asked: dict[str, str]) -> list[Pair]:
    return [(a, b) for a, b in combinations(asked, 2) if asked[a] != asked[b]]


class Judged:
    """Pairs by their cosine, and whether the words agree, a half at a time."""

    def __init__(self, embed: Callable[[str], np.ndarray], pairs: Sequence[Pair]) -> None:
        self.cosine = np.array([float(embed(a) @ embed(b)) for a, b in pairs])
        self.agree = np.array([gist(a) == gist(b) for a, b in pairs], dtype=bool)
        self.held_out = np.array([zlib.crc32(a.encode()) % 2 == 1 for a, _ in pairs], dtype=bool)

    def hits(self, threshold: float, *, held_out: bool, words: bool) -> tuple[int, int]:
        """How many would be given the other's answer, of how many."""
        mine = self.held_out == held_out
        hit = mine & (self.cosine >= threshold)
        return int((hit & self.agree if words else hit).sum()), int(mine.sum())


def calibrate(embedder: OnnxEmbedder) -> None:
    known: dict[str, np.ndarray] = {}

    def embed(text: str) -> np.ndarray:
        if text not in known:
            known[text] = embedder.embed([text])[0]
        return known[text]

    read = labelled()
    sets: dict[str, list[Pair]] = {
        f"asked, {label}": [pair for kind, pair in read if kind == label]
        for label in ("same", "other")
    }
    for asked in questions().values():
        for kind, pair in made(asked):
            sets.setdefault(f"made, {kind}", []).append(pair)
        sets.setdefault("neighbours", []).extend(neighbours(asked))
    judged = {name: Judged(embed, pairs) for name, pairs in sets.items()}
    for held_out in (False, True):
        for words in (False, True):
            title = "held-out half" if held_out else "calibration half"
            print(f"\n{title}, {'cosine and words' if words else 'cosine alone'}")
            print(f"{'pairs':22}{'of':>8}" + "".join(f"{one:>8.2f}" for one in SHOWN))
            for name, one in judged.items():
                counts = [one.hits(at, held_out=held_out, words=words) for at in SHOWN]
                print(f"{name:22}{counts[0][1]:>8}" + "".join(f"{hit:>8}" for hit, _ in counts))
            same, other = judged["asked, same"], judged["asked, other"]
            rates = []
            for at in SHOWN:
                good, _ = same.hits(at, held_out=held_out, words=words)
                bad, _ = other.hits(at, held_out=held_out, words=words)
                rates.append(f"{100 * bad / max(good + bad, 1):>7.1f}%")
            print(f"{'asked: hits that are wrong':30}" + "".join(rates))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        embedder = open_onnx_embedder(cache_dir=Path(folder) / "cache", threads=2)
        print(f"threshold in use: {THRESHOLDS[embedder.spec]}")
        calibrate(embedder)


if __name__ == "__main__":
    main()
