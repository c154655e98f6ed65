"""`python -m benchmarks.evaluation`: text metrics against a plain loop over nltk and rouge-score.

10,000 answers made from MTRAG-UN's references: words are left out and changed, by a seed, so that
some are nearly right and some hardly. Both sides tokenise, and give BLEU-1 to BLEU-4 over all of
them and precision, recall and F1 of ROUGE-1, -2 and -L for each. The numbers are equal at 1e-9, or
this fails. Nothing is kept from one run to the next; importing the libraries is not counted.

The plain loop is a fast one of its kind: one `corpus_bleu` for all four orders, on the 13a tokens
of sacrebleu (which remembers the references it has seen), and a `RougeScorer.score` an answer.
Texts are folded to ASCII, since rouge-score finds nothing else, and answers have four words at
least, since nltk counts an n-gram too many for shorter ones.
"""

from __future__ import annotations

import json
import random
import time
import unicodedata
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.turns import FILE
from model_pipeline.evaluation.examples import Example, Pair, Prediction
from model_pipeline.evaluation.measured import Measured
from model_pipeline.evaluation.text_metrics import text_metrics

PAIRS = 10_000
ROUNDS = 2
KINDS = ("rouge1", "rouge2", "rougeL")
Figures = NDArray[np.float64]
T = TypeVar("T")


def pairs() -> list[tuple[str, str]]:
    """Answers and references."""
    rows = map(json.loads, FILE.read_text(encoding="utf-8").splitlines())
    texts = [_ascii(row["targets"][0]["text"]) for row in rows]
    references = [text for text in texts if len(text.split()) > 8]
    words = [word for text in references for word in text.split()]
    draw = random.Random(0)
    made = []
    while len(made) < PAIRS:
        reference = draw.choice(references)
        kept, changed = draw.uniform(0.5, 1), draw.uniform(0, 0.5)
        answer = [
            draw.choice(words) if draw.random() < changed else word
            for word in reference.split()
            if draw.random() < kept
        ]
        if len(answer) >= 4:
            made.append((" ".join(answer), reference))
    return made


def _ascii(text: str) -> str:
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def plain_loop(texts: list[tuple[str, str]]) -> tuple[list[float], Figures]:
    """BLEU-1 to BLEU-4, and [n, 9]. Its libraries are imported here, since processes of ours import
    this module; the first call is not timed."""
    from nltk.translate.bleu_score import corpus_bleu
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

    tokenise = Tokenizer13a()
    bleus = corpus_bleu(
        [[tokenise(reference.rstrip()).split()] for _, reference in texts],
        [tokenise(answer.rstrip()).split() for answer, _ in texts],
        weights=[tuple(1 / n for _ in range(n)) for n in range(1, 5)],
    )
    scorer = RougeScorer(KINDS)
    scores = [scorer.score(reference, answer) for answer, reference in texts]
    return bleus, np.array([[part for kind in KINDS for part in one[kind]] for one in scores])


def ours(texts: list[tuple[str, str]], processes: int) -> list[Measured]:
    measured = text_metrics(
        [
            Pair(Example(str(n), "?", references=(reference,)), Prediction(str(n), answer))
            for n, (answer, reference) in enumerate(texts)
        ],
        processes=processes,
    )
    assert all(one.scored.all() for one in measured)
    for one in measured:
        one.figure()
    return measured


def timed(function: Callable[[], T]) -> tuple[float, float, T]:
    """Seconds by the clock, those of this process's CPU, and what was found."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = function()
    return time.perf_counter() - wall, time.process_time() - cpu, found


def agree(measured: list[Measured], bleus: list[float], rouges: Figures) -> float:
    """The largest difference of any figure, over the set for BLEU and of each answer for ROUGE."""
    by_set = np.array([one.figure() for one in measured[:4]]) - bleus
    by_answer = np.stack([one.each() for one in measured[4:13]], axis=1) - rouges
    return float(np.max(np.abs([*by_set, *by_answer.flat])))


def main() -> None:
    texts = pairs()
    words = sum(len(answer.split()) + len(reference.split()) for answer, reference in texts)
    print(f"{len(texts):,} answers; with their references {words / len(texts):.0f} words each")
    times: dict[str, list[tuple[float, float]]] = {}
    differences = []
    plain_loop(texts[:10])
    for _ in range(ROUNDS):  # in turns: a drift of the machine's speed falls on all
        *one, measured = timed(lambda: ours(texts, 1))
        *two, measured_by_two = timed(lambda: ours(texts, 2))
        *loop, (bleus, rouges) = timed(lambda: plain_loop(texts))
        for name, taken in (("one", one), ("two", two), ("loop", loop)):
            times.setdefault(name, []).append((taken[0], taken[1]))
        differences += [agree(found, bleus, rouges) for found in (measured, measured_by_two)]
    assert np.max(differences) < 1e-9, differences
    wall, cpu = ({name: sum(t[i] for t in took) for name, took in times.items()} for i in (0, 1))
    print(f"the largest difference of any number: {np.max(differences):.1e}")
    print(f"plain loop {wall['loop'] / ROUNDS:.1f} s")
    print(
        f"one process {wall['one'] / ROUNDS:.1f} s: {wall['loop'] / wall['one']:.1f} times faster, "
        f"by the CPU's time {cpu['loop'] / cpu['one']:.1f}"
    )
    print(
        f"two processes {wall['two'] / ROUNDS:.1f} s: "
        f"{wall['loop'] / wall['two']:.1f} times faster, "
        f"{wall['one'] / wall['two']:.2f} times as fast as one"
    )


if __name__ == "__main__":
    main()
