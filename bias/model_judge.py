"""Verdicts by a language model, which is handed in and should answer at temperature 0.

The prompt is made of the rubric; the text stands between tags that carry its hash, which no text
can know of itself. A verdict is one JSON object with a level of the rubric. What is not, a refusal,
a model that fails or takes too long: Unjudged with the reason, and never a level. Where the model
tells the chances of the level's token, they are the verdict's probabilities; else its one level has
them all. The signature names the model and the hashes of prompt and rubric.

Known failures, each a test: a verdict that repeats a level out of the text beside its own is not
read; a judge that obeys the text after all cannot be told from one that means it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

from bias.agreement import level_of
from bias.calibration import spread
from bias.rubric import rubric
from bias.verdicts import LEVELS, Dimension, Evidence, Unjudged, Verdict
from model_pipeline.errors import PromptlyError, TooLarge


@dataclass(frozen=True, slots=True)
class Reply:
    """`chances` are those of the levels as the model told them at the level's token; None where it
    tells none. They need not sum to 1: something else may have had a chance too."""

    text: str
    chances: Mapping[int, float] | None = None


Ask = Callable[[str], Awaitable[Reply]]
"""A prompt to the reply. Raises PromptlyError where there is none."""
OpenModel = Callable[[], AbstractAsyncContextManager[Ask]]
"""Entered where something is to be asked, in the event loop in which it is."""

PROMPT = "judge-1"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "level": {"type": "string", "enum": [str(level) for level in LEVELS]},
        "dimension": {"type": "string", "enum": [*(one.value for one in Dimension), "none"]},
        "evidence": {"type": "array", "items": {"type": "string"}},
        "reason": {"type": "string"},
    },
    "required": ["level", "dimension", "evidence", "reason"],
    "additionalProperties": False,
}
"""Of the answer, for models that can be held to one; the level comes first."""
BEGINNING = '{"level": "'
"""What an answer begins with, up to the level."""
TIMEOUT_S = 60.0
AT_ONCE = 8
LONGEST = 24_000  # characters of a text
LONGEST_REASON = 300
MOST_EVIDENCE = 5
LEAST_CHANCE = 0.5  # that the levels have together: below, the model means something else
WIDEST = 1.0  # levels: where the chances are spread wider, the judge is not sure
GIVE_UP = 16  # texts in a row without a reply
UNREADABLE = "the judge's verdict could not be read"
NO_LEVEL = "the judge's answer is most probably no level"
TIMED_OUT = "the judge timed out"
FAILED = "the judge gave no answer"
TOO_LONG = f"more than {LONGEST:,} characters for the judge to read"
EMPTY = "the text is empty"
GIVEN_UP = f"the judge was not asked, since it had not answered {GIVE_UP} times in a row"
NO_REASON = "The judge gives no reason."
LEVEL = re.compile(r'"level"\s*:\s*"?([1-5])"?\s*(?=[,}])')
NAMED = re.compile(r'"level"\s*:')
ALONE = re.compile(r"\s*([1-5])\s*\.?\s*")


class ModelJudge:
    """`model` names the model and its revision."""

    def __init__(self, open_model: OpenModel, model: str, *, timeout_s: float = TIMEOUT_S) -> None:
        self._open = open_model
        self._timeout_s = timeout_s
        self.signature = f"{PROMPT}|{_digest(prompt(''))}|{rubric().signature}|{model}"

    def judge(self, texts: Sequence[str]) -> list[Verdict | Unjudged]:
        """Not to be called in an event loop: it runs one."""
        return asyncio.run(self._judge(texts)) if texts else []

    async def _judge(self, texts: Sequence[str]) -> list[Verdict | Unjudged]:
        found: list[Verdict | Unjudged] = [Unjudged(GIVEN_UP)] * len(texts)
        left = iter(enumerate(texts))
        silent = 0

        async def work(ask: Ask) -> None:
            nonlocal silent
            for place, text in left:
                if silent >= GIVE_UP:
                    return
                found[place], replied = await self._one(ask, text)
                silent = 0 if replied else silent + 1

        async with self._open() as ask, asyncio.TaskGroup() as group:
            for _ in range(min(AT_ONCE, len(texts))):
                group.create_task(work(ask))
        return found

    async def _one(self, ask: Ask, text: str) -> tuple[Verdict | Unjudged, bool]:
        """And whether the model is there: it may refuse this one text."""
        if not text.strip():
            return Unjudged(EMPTY), True
        if len(text) > LONGEST:
            return Unjudged(TOO_LONG), True
        try:
            async with asyncio.timeout(self._timeout_s):
                reply = await ask(prompt(text))
        except TimeoutError:
            return Unjudged(TIMED_OUT), False
        except PromptlyError as error:
            refused = isinstance(error, TooLarge) or not getattr(error, "passing", True)
            return Unjudged(f"{FAILED}: {error.message}"), refused
        return read_verdict(reply, text), True


def prompt(text: str) -> str:
    known = rubric()
    levels = "\n".join(f"{n}, {known.names[n]}: {known.meanings[n]}" for n in LEVELS)
    dimensions = "\n\n".join(
        "\n".join(
            [
                f"{dimension.value.capitalize()}: {asks}",
                *(f"{one.level}: {one.text} “{one.examples[0]}”" for one in known.of(dimension)),
            ]
        )
        for dimension, asks in known.asks.items()
    )
    fence = f"text-{_digest(text)}"
    fenced = f"<{fence}>\n{text}\n</{fence}>"
    return _template().format(levels=levels, dimensions=dimensions, text=fenced)


def read_verdict(reply: Reply, text: str) -> Verdict | Unjudged:
    level = read_level(reply.text)
    if level is None:
        return Unjudged(UNREADABLE)
    chances = tuple(float(level == one) for one in LEVELS)
    if reply.chances is not None:
        told = [max(reply.chances.get(one, 0.0), 0.0) for one in LEVELS]
        if not sum(told) >= LEAST_CHANCE:  # nor where one is NaN
            return Unjudged(NO_LEVEL)
        chances = tuple(one / sum(told) for one in told)
    score = math.fsum(n * one for n, one in zip(LEVELS, chances, strict=True))
    said = _object(reply.text)
    found = Verdict(
        level=level_of(score),
        score=score,
        probabilities=chances,  # type: ignore[arg-type]
        evidence=_evidence(said.get("evidence"), text, _dimension(said)),
        reason=_reason(said),
        dimension=None if level_of(score) == LEVELS[-1] else _dimension(said),
    )
    return replace(found, sure=spread(found) <= WIDEST)


def read_level(reply: str) -> int | None:
    """The level of the menu that the whole reply gives; None where it gives none, or several. One
    that was cut off behind its level has one."""
    if alone := ALONE.fullmatch(reply):
        return int(alone[1])
    found = LEVEL.findall(reply)
    return int(found[0]) if len(found) == 1 == len(NAMED.findall(reply)) else None


def level_chances(tokens: Sequence[tuple[str, Mapping[str, float]]]) -> dict[int, float] | None:
    """Of a reply's tokens, each with the log probabilities of what could have stood in its place:
    those of the levels at the level's token; None where they are not told. A token may hold more
    than the digit, such as a quotation mark."""
    text = "".join(token for token, _ in tokens)
    found = LEVEL.search(text) or ALONE.fullmatch(text)
    if not found:
        return None
    at = 0
    for token, others in tokens:
        start, end = found.start(1) - at, found.end(1) - at
        at += len(token)
        if 0 <= start < len(token):
            told = {n: others.get(f"{token[:start]}{n}{token[end:]}") for n in LEVELS}
            known = {n: math.exp(one) for n, one in told.items() if one is not None}
            return known or None
    return None


def _object(reply: str) -> Mapping[str, Any]:
    """What the verdict says beside its level; nothing where that is not JSON."""
    start, end = reply.find("{"), reply.rfind("}")
    try:
        found = json.loads(reply[start : end + 1])
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _dimension(said: Mapping[str, Any]) -> Dimension | None:
    return next((one for one in Dimension if one.value == said.get("dimension")), None)


def _evidence(given: Any, text: str, dimension: Dimension | None) -> tuple[Evidence, ...]:
    """Of the quotes those that stand in the text, once each."""
    quotes = given if isinstance(given, list) else []
    places = {
        quote: text.find(quote) for quote in quotes if isinstance(quote, str) and quote.strip()
    }
    found = [
        Evidence(start, start + len(quote), quote, dimension)
        for quote, start in places.items()
        if start >= 0
    ]
    return tuple(found[:MOST_EVIDENCE])


def _reason(said: Mapping[str, Any]) -> str:
    given = said.get("reason")
    flat = " ".join(given.split()) if isinstance(given, str) else ""
    return flat[:LONGEST_REASON] or NO_REASON


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:12]


@cache
def _template() -> str:
    return files("bias").joinpath("prompts", f"{PROMPT}.txt").read_text(encoding="utf-8")
