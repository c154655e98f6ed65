"""Files of rows to examples, whatever their fields are called.

A file is JSONL or one JSON list of objects. A row that cannot be an example makes the whole file
InvalidInput, which names the first such row and how many there are: half a test set is none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_pipeline.documents.decode import clean
from model_pipeline.domain import Turn
from model_pipeline.errors import InvalidInput, TooLarge
from model_pipeline.evaluation.examples import Example

MAX_BYTES = 500_000_000
MAX_TEXT = 1_000_000  # characters of one reference
MAX_QUESTION = 8_000  # what the service takes
MAX_ID = 500
QUESTIONS = ("question", "query", "input", "prompt", "text")
IDS = ("id", "_id", "example_id", "question_id", "task_id", "uuid")
REFERENCES = (
    "references", "reference", "reference_answer", "correct_answer", "ground_truth",
    "expected_answer", "expected_output", "answer", "answers", "truth",
)  # fmt: skip
RELEVANT = ("relevant", "relevant_sources", "correct_chunks", "sources", "source")


@dataclass(frozen=True, slots=True)
class ExampleFields:
    """What a file calls an example's parts; None: a usual name is looked for. `tags` are fields to
    slice by, beside those of an object called tags."""

    id: str | None = None
    question: str | None = None
    reference: str | None = None
    relevant: str | None = None
    answerable: str | None = None
    tags: tuple[str, ...] = ()


OWN = ExampleFields("id", "question", "references", "relevant", "answerable")
"""As Example.to_row writes it."""


class _Bad(Exception):
    pass


def read_examples(path: Path, fields: ExampleFields | None = None) -> tuple[Example, ...]:
    """Raises InvalidInput, TooLarge."""
    fields = fields or ExampleFields()
    examples: list[Example] = []
    bad: list[str] = []
    for number, row in read_rows(path):
        try:
            examples.append(example_from_row(row, fields))
        except _Bad as error:
            bad.append(f"row {number} {error}")
    if bad:
        more = f", and {len(bad) - 1} more rows are bad" if bad[1:] else ""
        raise InvalidInput(f"{path}: {bad[0]}{more}: mend the file, or name its fields.")
    return tuple(examples)


def parse_example(row: Any) -> Example:
    """Of what Example.to_row made. Raises InvalidInput."""
    try:
        return example_from_row(row, OWN)
    except _Bad as error:
        raise InvalidInput(f"A stored example {error}: the test set is damaged.") from error


def read_rows(path: Path) -> Iterator[tuple[int, Any]]:
    """(number from 1, row); for JSONL the number is the line's. Raises InvalidInput, TooLarge."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise TooLarge(f"{path} has over {MAX_BYTES:,} bytes: split it.")
        with path.open(encoding="utf-8-sig") as file:
            if path.suffix == ".json":
                yield from enumerate(_list(path, file.read()), start=1)
                return
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, _parsed(path, number, line)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is not UTF-8: write it anew in that encoding.") from error


def _parsed(path: Path, number: int, line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{path}, line {number} is not JSON: {error}.") from error


def _list(path: Path, text: str) -> list[Any]:
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{path} is not JSON: {error}.") from error
    if not isinstance(rows, list):
        raise InvalidInput(f"{path} must hold a list of objects.")
    return rows


def example_from_row(row: Any, fields: ExampleFields) -> Example:
    if not isinstance(row, Mapping):
        raise _Bad("is no object")
    question = _text(row, _field(row, fields.question, QUESTIONS, "question"), MAX_QUESTION).strip()
    if not question:
        raise _Bad("has an empty question")
    id_field = fields.id or next((name for name in IDS if row.get(name) not in (None, "")), None)
    if fields.id and row.get(fields.id) in (None, ""):
        raise _Bad(f"has no {fields.id}")
    identity = clean(str(row[id_field])) if id_field else id_of(question)
    if len(identity) > MAX_ID:
        raise _Bad(f"has an id of over {MAX_ID} characters")
    references = _texts(row, fields.reference or _first(row, REFERENCES))
    return Example(
        example_id=identity,
        question=question,
        references=references,
        relevant=_relevant(row.get(fields.relevant or _first(row, RELEVANT) or "")),
        answerable=_answerable(row, fields.answerable),
        history=_history(row.get("history")),
        tags=_tags(row, fields.tags),
    )


def id_of(question: str) -> str:
    """For a question without an id: the same one in every file."""
    return hashlib.sha256(question.encode("utf-8", "replace")).hexdigest()[:16]


def _field(row: Mapping[str, Any], named: str | None, usual: Sequence[str], what: str) -> str:
    found = named if named in row else None if named else _first(row, usual)
    if found is None:
        raise _Bad(f"has no {named or what}")
    return found


def _first(row: Mapping[str, Any], names: Sequence[str]) -> str | None:
    return next((name for name in names if row.get(name) is not None), None)


def _text(row: Mapping[str, Any], field: str, most: int) -> str:
    return _checked(row[field], field, most)


def _checked(value: Any, field: str, most: int = MAX_TEXT) -> str:
    if not isinstance(value, str):
        raise _Bad(f"has a {field} that is no text ({value!r:.50})")
    if len(value) > most:
        raise _Bad(f"has a {field} of over {most:,} characters")
    return clean(value)


def _texts(row: Mapping[str, Any], field: str | None) -> tuple[str, ...]:
    """One text, or several of which any is right; empty ones are none."""
    value = row.get(field) if field else None
    if field is None or value is None:
        return ()
    texts = value if isinstance(value, list) else [value]
    return tuple(text for one in texts if (text := _checked(one, field)).strip())


def _relevant(value: Any) -> dict[str, int] | None:
    """Sources, or sources and their grades; none at all says nothing of them."""
    if not value:
        return None
    match value:
        case str():
            return {clean(value): 1}
        case list():
            return {_checked(one, "relevant source", MAX_ID * 4): 1 for one in value}
        case Mapping():
            return {clean(str(source)): _grade(grade) for source, grade in value.items()}
    raise _Bad(f"has relevant sources that are no text, list or object ({value!r:.50})")


def _grade(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise _Bad(f"has a grade of relevance that is no number ({value!r:.50})")
    if not (0 <= value <= 1000 and value == int(value)):
        raise _Bad(f"has a grade of relevance of {value!r:.50}: give a whole number from 0 on")
    return int(value)


def _answerable(row: Mapping[str, Any], field: str | None) -> bool | None:
    value = row.get(field or "answerable")
    if value is None or isinstance(value, bool):
        return value
    said = str(value).strip().lower()
    if said in ("true", "yes", "1", "answerable", "partial"):
        return True
    if said in ("false", "no", "0", "unanswerable"):
        return False
    if field is None:
        return None
    raise _Bad(f"has {value!r:.50} as {field}: say true or false")


def _history(value: Any) -> tuple[Turn, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise _Bad("has a history that is no list of turns")
    turns = []
    for turn in value:
        if not isinstance(turn, Mapping) or turn.get("role") not in ("user", "assistant"):
            raise _Bad("has a turn in its history without the role user or assistant")
        turns.append(Turn(turn["role"], _checked(turn.get("content"), "turn")))
    return tuple(turns)


def _tags(row: Mapping[str, Any], fields: Sequence[str]) -> dict[str, str]:
    given = row.get("tags")
    found = dict(given) if isinstance(given, Mapping) else {}
    found |= {field: row[field] for field in fields if row.get(field) is not None}
    return {clean(str(key)): _tag(value) for key, value in found.items() if value is not None}


def _tag(value: Any) -> str:
    """A list of one is that one; longer ones are joined, so that each example has one value."""
    parts = value if isinstance(value, list) else [value]
    return clean(", ".join(str(part) for part in parts))[:MAX_ID]
