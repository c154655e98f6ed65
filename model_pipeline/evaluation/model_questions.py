"""A passage to a question by a language model; what it writes is checked, or dropped.

The question must be one that stands by itself, its answer a sentence of the passage to the letter,
and a search for it must find the passage. That last check keeps away questions of other documents,
and it favours what search can find: recall over such a test set is an upper bound.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable, Sequence
from importlib.resources import files

from model_pipeline.evaluation.generated import Source
from model_pipeline.evaluation.questions import Asked

CURRENT = "question-1"
KIND = "model"
SEARCHED = 50  # results of a search among which the passage must be
LONGEST_PASSAGE = 6_000  # characters
WORDS = 4, 40
WRITTEN = re.compile(
    r"\s*Question:[ \t]*(?P<question>[^\n]+\?)\s*\n\s*Answer:[ \t]*(?P<answer>.+?)\s*", re.DOTALL
)
TELLS_OF_IT = re.compile(
    r"\b(?:passages?|texts?|excerpt|authors?|document|paragraph|mentioned|described|according)\b",
    re.IGNORECASE,
)

Write = Callable[[str, str], Awaitable[str]]
"""(system, user) to what the model says. Raises ModelUnavailable."""
Search = Callable[[str], Awaitable[Sequence[str]]]
"""A question to the contents of the best SEARCHED passages."""


class ModelQuestions:
    """`name` holds the prompt's name and the first of its SHA-256."""

    def __init__(self, write: Write, search: Search, prompt: str = CURRENT) -> None:
        folder = files("model_pipeline.evaluation.prompts")
        self._prompt = (folder / f"{prompt}.txt").read_text("utf-8")
        self.name = f"{prompt}-{hashlib.sha256(self._prompt.encode()).hexdigest()[:12]}"
        self._write, self._search = write, search

    async def ask(self, passage: Source) -> Asked | None:
        """None where what the model wrote does not stand."""
        content = passage.content[:LONGEST_PASSAGE]
        fence = _fence(content)
        system = self._prompt.replace("{fence}", fence)
        written = await self._write(system, f"<passage-{fence}>\n{content}\n</passage-{fence}>")
        asked = parse(written, passage.content)
        if asked is None or passage.content not in await self._search(asked.question):
            return None
        return asked


def parse(written: str, passage: str) -> Asked | None:
    match = WRITTEN.fullmatch(written)
    if match is None:
        return None
    question = " ".join(match["question"].split())
    if not WORDS[0] <= len(question.split()) <= WORDS[1] or TELLS_OF_IT.search(question):
        return None
    sentence = _quoted(match["answer"], passage)
    return Asked(question, sentence, KIND) if sentence else None


def _quoted(answer: str, passage: str) -> str | None:
    """The answer as the passage has it, whatever its spacing; None where it is not there."""
    words = answer.strip().strip('"“”').split()
    if not words:
        return None
    found = re.search(r"\s+".join(map(re.escape, words)), passage)
    return found[0] if found else None


def _fence(content: str) -> str:
    """A code that the passage does not hold."""
    digest = hashlib.sha256(content.encode("utf-8", "replace"))
    while (code := digest.hexdigest()[:12]) in content.lower():
        digest.update(b"again")
    return code
