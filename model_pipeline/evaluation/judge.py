"""Relevance, coverage and faithfulness by a language model's grade, 1 to 5, as 0 to 1.

The model is handed in; it should answer at temperature 0. Texts are fenced by tags that carry their
hash, which no text can know of itself, and only the verdict is read: one JSON object with a grade
of the menu, or the grade alone. A verdict that is neither, a model that fails or takes too long,
leave the answer unscored, with the reason. The signature names the model and the prompt's hash:
figures of two judges are not compared.

Grades are kept by model and prompt, so that a run that was killed goes on; what could not be graded
is asked again. A model that does not answer at all is left alone after a while.

Known failures, each a test: a verdict that repeats a grade out of the answer beside its own is not
read; a judge that obeys the answer after all cannot be told from one that means it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np

from model_pipeline.errors import PromptlyError, TooLarge
from model_pipeline.evaluation.examples import Pair
from model_pipeline.evaluation.meaning import (
    NO_PASSAGES,
    NOTHING_WANTED,
    answered,
    rightly_declined,
)
from model_pipeline.evaluation.measured import Measured, Metric, mean
from model_pipeline.evaluation.row_cache import RowCache, key

Ask = Callable[[str], Awaitable[str]]
"""A prompt to the model's whole reply. Raises TooLarge for a prompt that it does not read, another
PromptlyError where there is no reply, or half of one."""
OpenModel = Callable[[], AbstractAsyncContextManager[Ask]]
"""Entered where something is to be asked, in the event loop in which it is."""
Progress = Callable[[int, int], None]
"""How many verdicts there are, of how many."""

PROMPT = "judge-1"
GRADES = range(1, 6)
TIMEOUT_S = 60.0
AT_ONCE = 8
LONGEST = 24_000  # characters of the texts of one prompt
GIVE_UP = 16  # prompts in a row without a reply
UNREADABLE = "the judge's verdict could not be read"
TIMED_OUT = "the judge timed out"
FAILED = "the judge gave no answer"
TOO_LONG = f"more than {LONGEST:,} characters for the judge to read"
TOO_MANY_TOKENS = "more than the judge reads at once"
GIVEN_UP = f"the judge was not asked, since it had not answered {GIVE_UP} times in a row"
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


def judged(
    open_model: OpenModel,
    model: str,
    *,
    timeout_s: float = TIMEOUT_S,
    cache: Path | None = None,
    fresh: bool = False,
    progress: Progress = lambda done, of: None,
) -> Metric:
    """The three measures; `model` names the model and its revision. Where no answer is, or none was
    due, nobody is asked: as in `meaning`. `cache` is a file that keeps grades from run to run,
    which `fresh` asks for anew. Not to be called in an event loop: it runs one."""

    def measure(pairs: Sequence[Pair]) -> Sequence[Measured]:
        found = {name: [_settled(name, pair) for pair in pairs] for name in MEASURES}
        asked = [one.prompt for each in found.values() for one in each if isinstance(one, _Open)]
        with RowCache(cache, width=1) as kept:
            verdicts = _Verdicts(list(dict.fromkeys(asked)), model, kept, progress)
            if not fresh:
                verdicts.recall()
            asyncio.run(verdicts.ask(open_model, timeout_s))
        return [
            _measured(
                name,
                f"{PROMPT}|{_digest(prompt(name, {}))}|{model}",
                [verdicts.found[one.prompt] if isinstance(one, _Open) else one for one in each],
            )
            for name, each in found.items()
        ]

    return measure


def _measured(name: str, signature: str, found: Sequence[float | str | None]) -> Measured:
    return mean(
        name,
        signature,
        [None if isinstance(one, str) else one for one in found],
        failures={n: one for n, one in enumerate(found) if isinstance(one, str)},
    )


class _Verdicts:
    """`found` has a value or the reason why there is none, by prompt."""

    def __init__(
        self, prompts: Sequence[str], model: str, kept: RowCache, progress: Progress
    ) -> None:
        self.found: dict[str, float | str] = {}
        self._keys = {one: key(PROMPT, model, one) for one in prompts}
        self._kept = kept
        self._progress = progress
        self._silent = 0

    def recall(self) -> None:
        """What an earlier run has asked."""
        rows = self._kept.get(list(self._keys.values()))
        self.found = {one: float(rows[of][0]) for one, of in self._keys.items() if of in rows}

    async def ask(self, open_model: OpenModel, timeout_s: float) -> None:
        """For all that is not found yet."""
        missing = [one for one in self._keys if one not in self.found]
        self._progress(len(self.found), len(self._keys))
        if not missing:
            return
        left = iter(missing)

        async def work(ask: Ask) -> None:
            for prompt in left:
                if self._silent < GIVE_UP:
                    self._add(prompt, await _asked(ask, prompt, timeout_s))
                else:
                    self._add(prompt, GIVEN_UP)

        async with open_model() as ask, asyncio.TaskGroup() as group:
            for _ in range(min(AT_ONCE, len(missing))):
                group.create_task(work(ask))

    def _add(self, prompt: str, verdict: float | str) -> None:
        replied = isinstance(verdict, float) or verdict in (UNREADABLE, TOO_MANY_TOKENS)
        self._silent = 0 if replied else self._silent + 1
        self.found[prompt] = verdict
        if isinstance(verdict, float):
            self._kept.put([self._keys[prompt]], np.array([[verdict]]))
        self._progress(len(self.found), len(self._keys))


async def _asked(ask: Ask, text: str, timeout_s: float) -> float | str:
    try:
        async with asyncio.timeout(timeout_s):
            reply = await ask(text)
    except TimeoutError:
        return TIMED_OUT
    except TooLarge:
        return TOO_MANY_TOKENS
    except PromptlyError as error:
        return f"{FAILED}: {error.message}"
    except Exception as error:  # a judge that breaks has failed this verdict, not the evaluation
        return f"{FAILED}: {type(error).__name__}"
    grade = read_grade(reply)
    if grade is None:
        return UNREADABLE
    return (grade - GRADES[0]) / (GRADES[-1] - GRADES[0])


@dataclass(frozen=True, slots=True)
class _Open:
    """What a model has to judge."""

    prompt: str


def _settled(name: str, pair: Pair) -> float | str | _Open | None:
    """The value where there is nothing to judge, or why nothing can be judged."""
    if rightly_declined(pair):
        return None
    if not answered(pair):
        return 0.0
    answer = pair.prediction.answer
    passages = "\n\n".join(one.content for one in pair.prediction.passages)
    asked = {"question": pair.example.question}
    if name == "judged_relevance":
        return _open(name, {**asked, "answer": answer})
    if name == "judged_faithfulness":
        if pair.prediction.declined:
            return 1.0
        if not passages:
            return NO_PASSAGES
        return _open(name, {**asked, "passages": passages, "answer": answer})
    reference = "\n\nor:\n\n".join(pair.example.references) or passages
    if not reference:
        return NOTHING_WANTED
    return _open(name, {**asked, "reference": reference, "answer": answer})


def _open(name: str, texts: dict[str, str]) -> _Open | str:
    long = sum(len(text) for text in texts.values()) > LONGEST
    return TOO_LONG if long else _Open(prompt(name, texts))


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


@cache
def _template() -> str:
    found = files("model_pipeline.evaluation").joinpath("prompts", f"{PROMPT}.txt")
    return found.read_text(encoding="utf-8")
