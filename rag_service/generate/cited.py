"""A language model's answer, sentence by sentence, with the quotes that say it.

The model names passages as [n]. Each stretch of a sentence that ends in such a marker, or the whole
sentence, is aligned with the passage it names, or with the one that says it best: to an exact
quote. What no passage says is flagged, or dropped.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import aclosing
from copy import copy
from dataclasses import dataclass
from typing import Literal

from model_pipeline.domain import (
    AS_RELEASED,
    Claim,
    Draft,
    Embedder,
    Passage,
    Turn,
    Wording,
)
from model_pipeline.text.words import terms
from rag_service.generate.align import Aligner
from rag_service.generate.extractive import declined
from rag_service.generate.links import addresses, known_only
from rag_service.generate.prompt import Prompt
from rag_service.generate.writer import CUT, Cut, Message, Writer, until
from rag_service.generate.written import Written

Policy = Literal["flag", "drop"]

# In code brackets are code. [1], [1][2], [1, 3], [passage 2]; 【1†source】, as some models write.
CODE_OR_MARKERS = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]+`|"
    r"(?P<markers>(?:\s*(?:\[(?:(?:passages?|sources?|documents?)\s)?\s*\d{1,3}(?:\s*[,;–-]\s*\d{1,3})*\s*\]"
    r"|【\d{1,3}[^】\n]{0,40}】))+)",
    re.DOTALL | re.IGNORECASE,
)
INT = re.compile(r"\d{1,3}")
WORDS = re.compile(r"\w+")
# A stretch of fewer words says nothing by itself: it is looked for with its whole sentence.
ALONE = 4
# How models say that they found nothing, whatever they were told to say.
DECLINES = re.compile(
    r"\b(?:is|was|are|were)\s+not\s+(?:\w+\s+)?in\s+the\s+(?:\w+\s+)?(?:documents?|passages?|context|text)|"
    r"\b(?:documents?|passages?|context|texts?|sources?)\s+(?:\w+\s+)?(?:do|does|did)(?:\s+not|n['’]t)\s+"
    r"(?:\w+\s+)?(?:contain|mention|say|state|specify|provide|include|give|answer|discuss|address)|"
    r"\bI\s+(?:do\s+not|don['’]t|cannot|can['’]t|could\s+not|couldn['’]t|am\s+unable\s+to)\s+"
    r"(?:know|find|answer|have\s+(?:enough|any|the)|determine)\b",
    re.IGNORECASE,
)
# Small models go round in circles: what is said again is left out, and ends the answer at last.
REPEATS = 2
AS_TOLD = re.compile(r"\s*this is not in the documents\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Of a sentence: `cited` are the numbers behind it, from 1, as the model wrote them."""

    text: str
    cited: tuple[int, ...]


class Cited:
    """`executor` runs the alignment, off the event loop."""

    def __init__(
        self,
        writer: Writer,
        prompt: Prompt,
        embedder: Embedder,
        executor: Executor | None = None,
        *,
        unsupported: Policy = "flag",
    ) -> None:
        self._writer = writer
        self._prompt = prompt
        self._embedder = embedder
        self._executor = executor
        self._policy = unsupported
        self._wording = AS_RELEASED

    @property
    def name(self) -> str:
        parts = self._writer.name, self._prompt.name, self._policy
        return f"{'/'.join(parts)}/{self._writer.max_new_tokens}"

    def worded(self, wording: Wording) -> Cited:
        other = copy(self)
        other._wording = wording
        return other

    async def generate(
        self, question: str, passages: Sequence[Passage], history: Sequence[Turn]
    ) -> AsyncGenerator[Draft]:
        """Raises ModelUnavailable and TooLarge."""
        loop = asyncio.get_running_loop()
        messages, room = await loop.run_in_executor(
            self._executor, self._prompt.messages, question, passages, history, self._writer
        )
        said = _Said(Aligner(self._embedder, passages[:room], question), passages[:room])
        shown = cut = False
        heard: Counter[str] = Counter()
        async with aclosing(_sentences(self._writer, messages, self._wording)) as sentences:
            async for sentence in sentences:
                if isinstance(sentence, Cut):
                    cut = True
                    break
                if not shown and AS_TOLD.match(sentence):
                    break
                heard[sentence.strip()] += 1
                if heard[sentence.strip()] > REPEATS:
                    break
                if heard[sentence.strip()] > 1:
                    continue
                drafts = await loop.run_in_executor(self._executor, said.drafts, sentence)
                if self._policy == "drop" and any(one.unsupported for one in drafts):
                    continue
                for draft in drafts:
                    shown = True
                    yield draft
        if not shown:
            yield declined(passages)
        elif cut:
            yield Draft("", cut=True)


async def _sentences(
    writer: Writer, messages: Sequence[Message], wording: Wording
) -> AsyncGenerator[str | Cut]:
    written = Written()
    cut = False
    async with aclosing(until(wording.stop, writer.write(messages, wording))) as pieces:
        async for piece in pieces:
            if isinstance(piece, Cut):
                cut = True
                break
            for sentence in written.add(piece):
                yield sentence
    for sentence in written.end():
        yield sentence
    if cut:
        yield CUT


class _Said:
    """One answer's sentences, one after the other, and the numbers of their quotes."""

    def __init__(self, aligner: Aligner, passages: Sequence[Passage]) -> None:
        self._aligner = aligner
        self._passages = passages
        self._known = addresses(one.content for one in passages)
        self._numbers: dict[tuple[int, int, int], int] = {}

    def drafts(self, sentence: str) -> list[Draft]:
        sentence = known_only(sentence, self._known)
        stretches = list(_stretches(sentence))
        whole = "".join(one.text for one in stretches)
        denied = DECLINES.search(whole) is not None
        cited: tuple[int, ...] = ()
        drafts = []
        for one in stretches:
            cited = one.cited or cited  # what follows a citation leans on it first
            claim = one.text if len(WORDS.findall(one.text)) >= ALONE else whole
            drafts.append(self._draft(one, claim, cited, nothing=denied))
        return drafts

    def _draft(
        self, stretch: _Stretch, claim: str, cited: Sequence[int], *, nothing: bool
    ) -> Draft:
        if not terms(stretch.text):  # it says nothing, and its markers belong to what follows
            beyond = [n for n in stretch.cited if not 1 <= n <= len(self._passages)]
            return Draft(stretch.text, self._unfounded(beyond, ()))
        named = [n - 1 for n in cited if 1 <= n <= len(self._passages)]
        supports = [] if nothing else self._aligner.supports(claim, named)
        claims = tuple(
            Claim(
                self._number(one.passage, one.start, one.end),
                one.passage,
                self._passages[one.passage].content[one.start : one.end],
            )
            for one in supports
        )
        marks = "".join(f" [{one.n}]" for one in claims)
        unfounded = self._unfounded(stretch.cited, {one.passage for one in supports})
        return Draft(stretch.text + marks, claims + unfounded, unsupported=not claims)

    def _unfounded(
        self, cited: Sequence[int], found: Sequence[int] | set[int]
    ) -> tuple[Claim, ...]:
        """Numbers of no passage, or of one that does not say it: claims that cannot be verified, so
        that they are counted."""
        return tuple(Claim(0, -1, "") for n in dict.fromkeys(cited) if n - 1 not in found)

    def _number(self, *quote: int) -> int:
        passage, start, end = quote
        return self._numbers.setdefault((passage, start, end), len(self._numbers) + 1)


def _stretches(sentence: str) -> Iterator[_Stretch]:
    """A sentence cut behind its markers, which are taken out; joined the texts are the rest."""
    start, text = 0, ""
    for match in CODE_OR_MARKERS.finditer(sentence):
        if match["markers"] is None:
            continue
        text = sentence[start : match.start()]
        start = match.end()
        rest = sentence[start:]
        # What is no word, such as the point at the end, stays before its citation.
        tail = rest[: len(rest) - len(rest.lstrip(".,;:!?)”\"'’*_"))]
        start += len(tail)
        yield _Stretch(text + tail, tuple(int(n) for n in INT.findall(match["markers"])))
    if sentence[start:].strip() or not text:
        yield _Stretch(sentence[start:], ())
