"""BLEU, ROUGE and length of answers against their references, in one pass.

Each text is tokenised once for all of them. An answer with its references becomes a row of numbers;
rows are made by as many processes as there are to be, and kept by what they are made of.

A release's failure (an error, a refusal, an empty answer where one was due) has the row of the
empty text, which is the worst. Examples that are said to have no answer are not meant for these
metrics: whether a refusal was right is not a matter of its words.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import regex
from numpy.typing import NDArray

from model_pipeline.evaluation import bleu, length, rouge
from model_pipeline.evaluation.examples import Pair
from model_pipeline.evaluation.measured import Measured
from model_pipeline.evaluation.processes import in_order
from model_pipeline.evaluation.row_cache import RowCache, key
from model_pipeline.evaluation.tokens import tokens_13a, words

Text = tuple[str, tuple[str, ...]]
"""An answer and its references."""
Rows = NDArray[np.float64]
Progress = Callable[[int, int], None]

MAX_CHARACTERS = 500_000
MAX_TOKENS = 50_000
NO_REFERENCE = "no reference is given"
WORDLESS = "no word in the reference"
TOO_LONG = f"a text of over {MAX_CHARACTERS:,} characters or {MAX_TOKENS:,} words"

PARTS = (bleu, rouge, length)
WIDTH = sum(part.WIDTH for part in PARTS)
BLEU_REFERENCE, WORDS_REFERENCE = 1, WIDTH - 1  # columns: lengths of the closest reference
BLOCK = 100
WORTH_PROCESSES = 5_000_000  # characters: two seconds' work, where a process takes one to start
SIGNATURE = "|".join(  # of rows that are kept
    [*(part.SIGNATURE for part in PARTS), TOO_LONG, unicodedata.unidata_version, regex.__version__]
)


def text_metrics(
    pairs: Sequence[Pair],
    *,
    processes: int = 1,
    cache: Path | None = None,
    progress: Progress = lambda done, of: None,
) -> list[Measured]:
    """bleu_1 to bleu_4; rouge_1, rouge_2 and rouge_l, each _precision, _recall and _f1;
    length_ratio.

    `processes` changes nothing but the time, and neither does `cache`, a file that keeps rows from
    run to run. `progress` is told how many pairs are done, and of how many.
    """
    texts: dict[int, Text] = {}
    failures: dict[int, str] = {}
    for index, pair in enumerate(pairs):
        references = tuple(one for one in pair.example.references if one.strip())
        if references and pair.example.answerable is not False:
            texts[index] = (_answer(pair), references)
        elif pair.example.answerable is not False:
            failures[index] = NO_REFERENCE
    made = _kept_rows(list(texts.values()), processes, cache, progress)
    rows = np.zeros((len(pairs), WIDTH))
    rows[list(texts)] = made
    failures |= {
        index: TOO_LONG for index, row in zip(texts, made, strict=True) if np.isnan(row[0])
    }

    found: list[Measured] = []
    start = 0
    for part in PARTS:
        reference = rows[:, BLEU_REFERENCE if part is bleu else WORDS_REFERENCE]
        scored = reference > 0
        wordless = {index: WORDLESS for index in texts if reference[index] == 0}
        counts = np.where(scored[:, None], rows[:, start : start + part.WIDTH], 0.0)
        found += part.measured(counts, scored, failures | wordless)
        start += part.WIDTH
    return found


def _answer(pair: Pair) -> str:
    given = pair.prediction
    return "" if given.error is not None or given.declined else given.answer


def _kept_rows(
    texts: Sequence[Text], processes: int, cache: Path | None, progress: Progress
) -> Rows:
    """[n, WIDTH], from the cache where it has them."""
    keys = [key(SIGNATURE, answer, *references) for answer, references in texts]
    rows = np.zeros((len(texts), WIDTH))
    with RowCache(cache, width=WIDTH) as kept:
        known = kept.get(keys)
        for index, one in enumerate(keys):
            rows[index] = known.get(one, 0.0)
        missing = [index for index, one in enumerate(keys) if one not in known]
        done = len(texts) - len(missing)
        progress(done, len(texts))
        for places, made in _made_rows(texts, missing, processes):
            rows[places] = made
            kept.put([keys[index] for index in places], made)
            done += len(places)
            progress(done, len(texts))
    return rows


def _made_rows(
    texts: Sequence[Text], missing: Sequence[int], processes: int
) -> Iterator[tuple[Sequence[int], Rows]]:
    """Rows of the texts at the places `missing`, block by block."""
    blocks = [missing[start : start + BLOCK] for start in range(0, len(missing), BLOCK)]
    work = ([texts[index] for index in block] for block in blocks)
    size = sum(len(texts[index][0]) + sum(map(len, texts[index][1])) for index in missing)
    if size < WORTH_PROCESSES:
        processes = 1
    yield from zip(blocks, in_order(_rows, work, processes=processes), strict=True)


def _rows(texts: Sequence[Text]) -> Rows:
    return np.array([_row(answer, *references) for answer, references in texts], dtype=np.float64)


def _row(*texts: str) -> list[float]:
    """Of an answer and its references: NaN where one is too long, zeros where none has a word."""
    if max(map(len, texts)) > MAX_CHARACTERS:
        return [math.nan] * WIDTH
    tokens, spoken = [tokens_13a(one) for one in texts], [words(one) for one in texts]
    if max(map(len, tokens + spoken)) > MAX_TOKENS:
        return [math.nan] * WIDTH
    row: list[float] = []
    for part in PARTS:
        answer, *references = tokens if part is bleu else spoken
        worded = [one for one in references if one]
        row += part.statistics(answer, worded) if worded else [0.0] * part.WIDTH
    return row
