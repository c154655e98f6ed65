"""Verdicts on many texts, written as they come: a run that was killed goes on where it stopped."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bias.verdict_rows import to_row
from bias.verdicts import Judge, Unjudged, Verdict
from model_pipeline.errors import InvalidInput, TooLarge
from model_pipeline.evaluation.row_log import line, row_log
from model_pipeline.evaluation.rows import read_rows

BATCH = 64
MAX_TEXT = 100_000  # characters
MAX_TEXTS = 1_000_000
EMPTY = "The text is empty."
LONG = f"The text has over {MAX_TEXT:,} characters."
Progress = Callable[[int, int], None]


def read_texts(path: Path, field: str) -> list[str]:
    """Of JSONL or a JSON list: objects with `field`, or plain strings. Raises InvalidInput, with
    the row, and TooLarge."""
    texts = []
    for number, row in read_rows(path):
        text = row.get(field) if isinstance(row, Mapping) else row
        if not isinstance(text, str):
            raise InvalidInput(
                f"{path}, row {number} has no text in {field}: name the field by --field."
            )
        texts.append(text)
        if len(texts) > MAX_TEXTS:
            raise TooLarge(f"{path} has over {MAX_TEXTS:,} texts: split it.")
    if not texts:
        raise InvalidInput(f"{path} has no text.")
    return texts


def scored(judge: Judge, texts: Sequence[str], *, start: int = 0) -> Iterator[dict[str, Any]]:
    """A row for each of `texts` from `start` on, in order. Wherever it starts, batches are of the
    same texts: some judges' figures move in the last digits with the company of a text."""
    firsts = range(start - start % BATCH, len(texts), BATCH) if start < len(texts) else ()
    for first in firsts:
        some = texts[first : first + BATCH]
        for place, verdict in enumerate(_judged(judge, some), start=first):
            if place >= start:
                yield _row(place, texts[place], verdict, judge.signature)


def write_scored(
    judge: Judge,
    texts: Sequence[str],
    path: Path,
    *,
    progress: Progress = lambda done, of: None,
) -> int:
    """To `path`, after what is there; texts that could not be judged by an earlier run are judged
    again. How many have no verdict. Raises InvalidInput where the file is of other texts or another
    judge."""
    with row_log(path, lambda rows: _require_same(path, rows, texts, judge.signature)) as log:
        rows = log.before
        failed = [place for place, row in enumerate(rows) if "unjudged" in row]
        progress(len(rows), len(texts))
        for row in scored(judge, texts, start=len(rows)):
            log.add(row)
            rows.append(row)
            progress(len(rows), len(texts))
        if failed:
            verdicts = _judged(judge, [texts[place] for place in failed])
            for place, verdict in zip(failed, verdicts, strict=True):
                rows[place] = _row(place, texts[place], verdict, judge.signature)
            _rewrite(path, rows)
    return sum("unjudged" in row for row in rows)


def _judged(judge: Judge, texts: Sequence[str]) -> list[Verdict | Unjudged]:
    """What is empty or too long for anything is not given to the judge."""
    refused = {n: why for n, text in enumerate(texts) if (why := _refusal(text))}
    left = [text for n, text in enumerate(texts) if n not in refused]
    verdicts = iter(judge.judge(left) if left else ())
    return [Unjudged(refused[n]) if n in refused else next(verdicts) for n in range(len(texts))]


def _refusal(text: str) -> str | None:
    if not text.strip():
        return EMPTY
    return LONG if len(text) > MAX_TEXT else None


def _row(place: int, text: str, verdict: Verdict | Unjudged, signature: str) -> dict[str, Any]:
    return {"n": place + 1, "text": text, **to_row(verdict), "judge": signature}


def _require_same(path: Path, rows: Sequence[Any], texts: Sequence[str], signature: str) -> None:
    for place, row in enumerate(rows):
        known = row if isinstance(row, Mapping) else {}
        if place >= len(texts) or known.get("text") != texts[place]:
            raise InvalidInput(f"{path} holds verdicts on other texts: name another --out.")
        if known.get("judge") != signature:
            raise InvalidInput(f"{path} holds verdicts of another judge: name another --out.")


def _rewrite(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """At once, so that a kill leaves the old file or the new one."""
    new = path.with_name(f".{path.name}.new")
    with new.open("wb") as file:
        file.writelines(line(row) for row in rows)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
