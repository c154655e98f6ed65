"""Answers that people rated: files of them, whatever their fields are called."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_pipeline.domain import Turn
from model_pipeline.errors import InvalidInput, TooLarge
from model_pipeline.evaluation.agreement import MAX_ROWS
from model_pipeline.evaluation.examples import Example, Pair, Prediction, Retrieved
from model_pipeline.evaluation.rows import MAX_BYTES, MAX_TEXT, read_rows

QUESTIONS = ("question", "query", "user_input", "input", "prompt", "messages", "conversation")
ANSWERS = (
    "answer", "response", "prediction", "generated_answer", "model_answer", "candidate", "output",
)  # fmt: skip
REFERENCES = (
    "reference", "references", "reference_answer", "correct_answer", "ground_truth",
    "ground_truths", "expected_answer", "expected_output", "golden_answer", "gold", "target",
    "targets", "truth",
)  # fmt: skip
PASSAGES = (
    "passages", "contexts", "context", "retrieved_contexts", "retrieved_passages", "documents",
)  # fmt: skip
RATINGS = (
    "rating", "score", "label", "human_rating", "human_score", "human_label", "grade", "overall",
    "correct", "correctness", "is_correct", "accuracy", "relevance", "relevant", "coverage",
    "completeness", "complete", "faithfulness", "faithful", "groundedness", "helpfulness",
    "helpful", "quality", "appropriateness",
)  # fmt: skip
WORDS = {
    **dict.fromkeys(("true", "yes", "correct", "right", "good", "pass", "up", "👍"), 1.0),
    **dict.fromkeys(("partial", "partially correct", "partly"), 0.5),
    **dict.fromkeys(("false", "no", "incorrect", "wrong", "bad", "fail", "down", "👎"), 0.0),
}
NOT_RATED = ("", "na", "n/a", "none", "null", "nan", "-")
USERS = ("user", "human", "customer", "client", "question")
MEANT = "give question, answer, reference or passages, and rating (or name what holds the ratings)"


@dataclass(frozen=True, slots=True)
class RatedPair:
    """`ratings` by their names; higher is better."""

    pair: Pair
    ratings: Mapping[str, float]


def read_ratings(path: Path, named: Sequence[str] = ()) -> list[RatedPair]:
    """JSONL, a JSON list, CSV or TSV (.csv, .tsv). Each row has a question (a text, or a
    conversation that ends with it), an answer, a reference (a text or several) or passages (texts,
    or objects with content or text), and ratings: of the fields `named`, of `ratings`, or of usual
    names. A rating is a number, a yes or a no, or a list of several people's. Rows that nobody
    rated are left out. Raises InvalidInput, with the line, and TooLarge."""
    found = []
    for number, row in _rows(path):
        try:
            one = _row(row, str(number), named)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InvalidInput(
                f"{path}, line {number}: {MEANT}; {str(error) or type(error).__name__}."
            ) from error
        if one.ratings:
            found.append(one)
        if len(found) > MAX_ROWS:
            raise InvalidInput(f"{path} has more than {MAX_ROWS:,} rows: give a sample of them.")
    return found


def _rows(path: Path) -> Iterator[tuple[int, Any]]:
    if path.suffix not in (".csv", ".tsv"):
        yield from read_rows(path)
        return
    csv.field_size_limit(MAX_TEXT)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise TooLarge(f"{path} has over {MAX_BYTES:,} bytes: split it.")
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ",")
            for row in reader:
                yield reader.line_num, {key: value for key, value in row.items() if key}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(f"{path} cannot be read: {error}.") from error


def _row(row: Any, name: str, named: Sequence[str]) -> RatedPair:
    if not isinstance(row, Mapping):
        raise TypeError("it is no object")
    row = {str(key).strip().lower(): value for key, value in row.items()}
    *before, question = _turns(_first(row, QUESTIONS, "question"))
    history = _turns(row.get("history") or ()) or before
    answer = row.get("answer", _first(row, ANSWERS, "answer"))
    references = tuple(_texts(_first(row, REFERENCES, None)))
    passages = tuple(Retrieved("", text) for text in _texts(_first(row, PASSAGES, None)))
    if not isinstance(answer, str):
        raise TypeError("the answer is no text")
    if not references and not passages:
        raise ValueError("there is neither a reference nor a passage")
    answerable = row.get("answerable")
    return RatedPair(
        Pair(
            Example(
                name,
                question.content,
                references,
                answerable=answerable if isinstance(answerable, bool) else None,
                history=tuple(history),
            ),
            Prediction(name, answer, declined=row.get("declined") is True, passages=passages),
        ),
        dict(_ratings(row, named)),
    )


def _first(row: Mapping[str, Any], names: Sequence[str], what: str | None) -> Any:
    """The first that is there. Raises ValueError where `what` must be."""
    found = next((row[name] for name in names if row.get(name) not in (None, [], "")), None)
    if found is None and what is not None and not any(row.get(name) == "" for name in names):
        raise ValueError(f"there is no {what}")
    return "" if found is None and what is not None else found


def _turns(given: Any) -> list[Turn]:
    if isinstance(given, str):
        given = _listed(given)
    if isinstance(given, str):
        return [Turn("user", given)]
    return [_turn(one) for one in given]


def _turn(one: Any) -> Turn:
    if isinstance(one, str):
        return Turn("user", one)
    who = str(one.get("role") or one.get("speaker") or one.get("from") or "user").lower()
    content = next(one[key] for key in ("content", "text", "value") if key in one)
    if not isinstance(content, str):
        raise TypeError("a turn is no text")
    return Turn("user" if who in USERS else "assistant", content)


def _texts(given: Any) -> Iterator[str]:
    if isinstance(given, str):
        given = _listed(given)
    for one in [given] if isinstance(given, str | Mapping) else given or ():
        if isinstance(one, Mapping):
            one = one.get("content") or one.get("text") or one.get("page_content")
        if not isinstance(one, str):
            raise TypeError("a reference or a passage is no text")
        if one.strip():
            yield one


def _listed(text: str) -> Any:
    """What a cell of a table holds, where it is a JSON list."""
    if not text.lstrip().startswith("["):
        return text
    try:
        found = json.loads(text)
    except ValueError:
        return text  # "[sic] ..."
    return found if isinstance(found, list) else text


def _ratings(row: Mapping[str, Any], named: Sequence[str]) -> Iterator[tuple[str, float]]:
    if named:
        given: Iterable[tuple[str, Any]] = [
            (name, row[name.lower()]) for name in named if name.lower() in row
        ]
    elif isinstance(row.get("ratings"), Mapping):
        given = row["ratings"].items()
    else:
        given = [(name, row[name]) for name in RATINGS if name in row]
    given = list(given)
    if not given:
        raise ValueError("there is no rating")
    for name, value in given:
        rating = _rating(value)
        if rating is not None:
            yield str(name), rating


def _rating(value: Any) -> float | None:
    if isinstance(value, list):
        several = [one for one in map(_rating, value) if one is not None]
        return sum(several) / len(several) if several else None
    if value is None:
        return None
    if isinstance(value, str):
        said = value.strip().lower()
        if said in NOT_RATED:
            return None
        value = WORDS.get(said, said.partition("/")[0])  # 4/5 is 4
    rating = float(value)
    if not math.isfinite(rating):
        raise ValueError("a rating is not a finite number")
    return rating
