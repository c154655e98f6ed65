"""Relevance, coverage and faithfulness by a language model's grade, 1 to 5, as 0 to 1.

The model is handed in as a function; it should answer at temperature 0. Texts are fenced by tags
that carry their hash, which no text can know of itself, and only the verdict is read: one JSON
object with a grade of the menu, or the grade alone. A verdict that is neither, a model that fails
or takes too long, leave the answer unscored, with the reason. The signature names the model and the
prompt's hash: figures of two judges are not compared.

Known failures, each a test: a verdict that repeats a grade out of the answer beside its own is not
read; a judge that obeys the answer after all cannot be told from one that means it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files

from model_pipeline.errors import PromptlyError
from model_pipeline.evaluation.examples import Pair
from model_pipeline.evaluation.meaning import (
    NO_PASSAGES,
    NOTHING_WANTED,
    answered,
    rightly_declined,
)
from model_pipeline.evaluation.measured import Measured, Metric, mean

Ask = Callable[[str], Awaitable[str]]
"""A prompt to the model's reply; raises PromptlyError where there is none."""

PROMPT = "judge-1"
GRADES = range(1, 6)
TIMEOUT_S = 60.0
AT_ONCE = 8
LONGEST = 24_000  # characters of the texts of one prompt
UNREADABLE = "the judge's verdict could not be read"
TIMED_OUT = "the judge timed out"
FAILED = "the judge gave no answer"
TOO_LONG = f"more than {LONGEST:,} characters for the judge to read"
OBJECT = re.compile(r"\{[^{}]*\}")
ALONE = re.compile(r"\s*(?:grade\s*[:=]?\s*)?([1-5])\s*\.?\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Measure:
    asks: str
    fully: str
    hardly: str


MEASURES = {
    "judged_relevance": _Measure(
        "does the answer address the question, be it right or wrong?",
        "it addresses all that is asked, and nothing else",
        "it is about something else, says nothing, or says that it has no answer",
    ),
    "judged_coverage": _Measure(
        "how much of what the reference says does the answer carry, in whatever words?",
        "all of it, with the same numbers and names",
        "nothing of it, or the opposite",
    ),
    "judged_faithfulness": _Measure(
        "is what the answer says supported by the passages? What is true but not in them is not.",
        "every statement is",
        "no statement is, or the passages say the opposite",
    ),
}


def judged(ask: Ask, model: str, *, timeout_s: float = TIMEOUT_S) -> Metric:
    """The three measures by `ask`; `model` names the model and its revision. Where no answer is, or
    none was due, nobody is asked: as in `meaning`."""

    def measure(pairs: Sequence[Pair]) -> Sequence[Measured]:
        found = asyncio.run(_verdicts(pairs, ask, timeout_s))
        signature = f"{PROMPT}|{_digest(_template())}|{model}"
        return [
            mean(
                name,
                signature,
                [None if isinstance(one, str) else one for one in each],
                failures={n: one for n, one in enumerate(each) if isinstance(one, str)},
            )
            for name, each in found.items()
        ]

    return measure


async def _verdicts(
    pairs: Sequence[Pair], ask: Ask, timeout_s: float
) -> dict[str, list[float | str | None]]:
    turns = asyncio.Semaphore(AT_ONCE)

    async def verdict(name: str, pair: Pair) -> float | str | None:
        settled = _settled(name, pair)
        if not isinstance(settled, _Open):
            return settled
        if sum(len(text) for text in settled.texts.values()) > LONGEST:
            return TOO_LONG
        async with turns:
            return await _asked(ask, prompt(name, settled.texts), timeout_s)

    return {
        name: list(await asyncio.gather(*(verdict(name, pair) for pair in pairs)))
        for name in MEASURES
    }


async def _asked(ask: Ask, text: str, timeout_s: float) -> float | str:
    try:
        async with asyncio.timeout(timeout_s):
            reply = await ask(text)
    except TimeoutError:
        return TIMED_OUT
    except PromptlyError:
        return FAILED
    grade = read_grade(reply)
    if grade is None:
        return UNREADABLE
    return (grade - GRADES[0]) / (GRADES[-1] - GRADES[0])


@dataclass(frozen=True, slots=True)
class _Open:
    """What a model has to judge, by the names of the tags."""

    texts: dict[str, str]


def _settled(name: str, pair: Pair) -> float | str | _Open | None:
    """The value where there is nothing to judge."""
    if rightly_declined(pair):
        return None
    if not answered(pair):
        return 0.0
    answer = pair.prediction.answer
    passages = "\n\n".join(one.content for one in pair.prediction.passages)
    asked = {"question": pair.example.question}
    if name == "judged_relevance":
        return _Open({**asked, "answer": answer})
    if name == "judged_faithfulness":
        if pair.prediction.declined:
            return 1.0
        if not passages:
            return NO_PASSAGES
        return _Open({**asked, "passages": passages, "answer": answer})
    reference = "\n\nor:\n\n".join(pair.example.references) or passages
    if not reference:
        return NOTHING_WANTED
    return _Open({**asked, "reference": reference, "answer": answer})


def prompt(name: str, texts: dict[str, str]) -> str:
    one = MEASURES[name]
    fenced = "\n\n".join(_fenced(tag, text) for tag, text in texts.items())
    return _template().format(measure=one.asks, fully=one.fully, hardly=one.hardly, texts=fenced)


def read_grade(reply: str) -> int | None:
    """The grade of the menu that the whole reply gives; None where it gives none, or several."""
    if alone := ALONE.fullmatch(reply):
        return int(alone[1])
    grades = []
    for each in OBJECT.findall(reply):
        try:
            found = json.loads(each)
        except ValueError:
            continue
        if isinstance(found, dict) and "grade" in found:
            grades.append(found["grade"])
    if len(grades) != 1 or type(grades[0]) is not int or grades[0] not in GRADES:
        return None
    return grades[0]


def _fenced(tag: str, text: str) -> str:
    fence = f"{tag}-{_digest(text)}"
    return f"<{fence}>\n{text}\n</{fence}>"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:12]


def _template() -> str:
    found = files("model_pipeline.evaluation").joinpath("prompts", f"{PROMPT}.txt")
    return found.read_text(encoding="utf-8")
