"""All metrics of text at once: what fails and what is worst, any input, processes, the cache."""

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model_pipeline.evaluation.examples import Example, Pair, Prediction
from model_pipeline.evaluation.measured import Measured
from model_pipeline.evaluation.text_metrics import (
    MAX_CHARACTERS,
    MAX_TOKENS,
    NO_REFERENCE,
    TOO_LONG,
    WORDLESS,
    WORTH_PROCESSES,
    text_metrics,
)
from tests.model_pipeline.evaluation.answers import answered

NAMES = [
    *("bleu_1", "bleu_2", "bleu_3", "bleu_4"),
    *("rouge_1_precision", "rouge_1_recall", "rouge_1_f1"),
    *("rouge_2_precision", "rouge_2_recall", "rouge_2_f1"),
    *("rouge_l_precision", "rouge_l_recall", "rouge_l_f1"),
    "length_ratio",
]
RIGHT = Example("a", "Who wrote it?", references=("Ada wrote the first program.",))


def identical(a: list[Measured], b: list[Measured]) -> bool:
    return [one.name for one in a] == [one.name for one in b] and all(
        one.statistics.tobytes() == other.statistics.tobytes()
        and one.signature == other.signature
        and one.failures == other.failures
        for one, other in zip(a, b, strict=True)
    )


def varied(count: int) -> list[Pair]:
    texts = []
    for n in range(count):
        reference = " ".join(f"word{(n * k) % 9_973}" for k in range(1, 60))
        texts.append((reference.replace("word1", "no"), [reference, reference[:50]]))
    return answered(texts)


def test_the_names_are_what_others_go_by() -> None:
    found = text_metrics([Pair(RIGHT, Prediction("a", "Ada."))])
    assert [one.name for one in found] == NAMES
    assert len({one.signature for one in found}) == len(NAMES)


@pytest.mark.parametrize(
    "given",
    [
        Prediction("a"),
        Prediction("a", " \n\t\x00"),
        Prediction("a", "Ada wrote the first program.", error="The model does not answer."),
        Prediction("a", "Ada wrote the first program.", declined=True),
    ],
    ids=["empty", "blank", "error", "refusal"],
)
def test_a_failure_of_the_release_counts_and_is_the_worst(given: Prediction) -> None:
    good = Prediction("a", "Ada wrote the first programs.")
    for one in text_metrics([Pair(RIGHT, given), Pair(RIGHT, good)]):
        assert one.scored.all() and not one.failures
        assert one.each()[0] == one.worst
        assert one.figure() < one.each()[1]


def test_what_cannot_be_measured_is_left_out_with_its_reason() -> None:
    answer = Prediction("a", "Ada.")
    pairs = [
        Pair(RIGHT, answer),
        Pair(replace(RIGHT, references=()), answer),
        Pair(replace(RIGHT, references=(" \n", "")), answer),
        Pair(replace(RIGHT, references=("?!",)), answer),
        Pair(replace(RIGHT, references=("<skipped>",)), answer),
        Pair(RIGHT, replace(answer, answer="x" * (MAX_CHARACTERS + 1))),
        Pair(RIGHT, replace(answer, answer="x " * (MAX_TOKENS + 1))),
    ]
    for one in text_metrics(pairs):
        bleu = one.name.startswith("bleu")
        wordless = {4: WORDLESS} if bleu else {3: WORDLESS}
        missing = {1: NO_REFERENCE, 2: NO_REFERENCE, 5: TOO_LONG, 6: TOO_LONG}
        assert one.failures == missing | wordless
        assert np.flatnonzero(one.scored).tolist() == ([0, 3] if bleu else [0, 4])
        assert not one.statistics[~one.scored].any()


def test_an_example_without_an_answer_is_not_meant() -> None:
    refusal = replace(RIGHT, answerable=False, references=("I do not know.",))
    for example in (refusal, replace(refusal, references=())):
        for one in text_metrics([Pair(example, Prediction("a", "Ada."))]):
            assert not one.scored.any() and not one.failures
            assert np.isnan(one.figure())


def test_nothing_at_all_is_no_figure() -> None:
    assert all(np.isnan(one.figure()) for one in text_metrics([]))


def test_hostile_lines_against_themselves_are_exact(shared_data: Path) -> None:
    lines = json.loads((shared_data / "blns" / "blns.json").read_text("utf-8"))
    lines += ["\ud800 lone", "nul\x00", "‮right to left‬", "👩‍👩‍👧 emoji", "漢字"]
    found = {one.name: one for one in text_metrics(answered([(one, [one]) for one in lines]))}
    for name in ("bleu_1", "bleu_4", "rouge_1_f1", "rouge_l_f1", "length_ratio"):
        each = found[name].each()
        assert each[found[name].scored] == pytest.approx(1.0, abs=1e-12)
        assert all(why in (NO_REFERENCE, WORDLESS) for why in found[name].failures.values())
    assert found["bleu_4"].scored.sum() > 0.95 * len(lines)


def test_a_megabyte_is_a_named_failure_at_once_and_what_is_within_the_limits_does_not_hang() -> (
    None
):
    words = [f"w{n}" for n in range(MAX_TOKENS)]
    longest = (" ".join(words), [" ".join(reversed(words))])
    started = time.process_time()
    found = text_metrics(answered([("word " * 210_000, ["word " * 210_000]), longest]))
    assert time.process_time() - started < 30  # a table would have taken a quarter of an hour
    assert all(one.failures == {0: TOO_LONG} for one in found)
    assert found[12].each()[1] == pytest.approx(1 / MAX_TOKENS)


def test_the_figures_are_the_same_bytes_each_time_by_any_number_of_processes_and_from_the_cache(
    tmp_path: Path,
) -> None:
    pairs = varied(6_000)
    texts = [(one.prediction.answer, *one.example.references) for one in pairs]
    assert sum(len("".join(one)) for one in texts) > WORTH_PROCESSES
    first = text_metrics(pairs)
    cache = tmp_path / "home" / "rows.sqlite"
    steps: list[tuple[int, int]] = []
    assert identical(first, text_metrics(pairs, processes=2, cache=cache))
    assert identical(
        first,
        text_metrics(pairs, cache=cache, progress=lambda done, of: steps.append((done, of))),
    )
    assert steps == [(6_000, 6_000)]  # all of it was there


def test_progress_is_told_and_what_was_made_before_a_kill_is_not_made_again(tmp_path: Path) -> None:
    pairs, cache = varied(250), tmp_path / "rows.sqlite"
    steps: list[int] = []

    def killed(done: int, of: int) -> None:
        steps.append(done)
        if done == 200:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        text_metrics(pairs, cache=cache, progress=killed)
    text_metrics(pairs, cache=cache, progress=lambda done, of: steps.append(done))
    assert steps == [0, 100, 200, 200, 250]
