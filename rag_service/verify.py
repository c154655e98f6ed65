"""Citations are checked before anything is shown: a quote stands in its chunk, or it is dropped."""

from __future__ import annotations

import re
from collections.abc import Sequence

from model_pipeline.domain import Citation, Claim, Draft, Passage

# Brackets in code are code: only the last alternative is a marker.
MARKER = re.compile(r"```.*?(?:```|\Z)|`[^`\n]+`|\s?\[(\d+)\]", re.DOTALL)


class Verifier:
    """Checks the drafts of one answer, one after the other, and numbers what stands from 1."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self._passages = passages
        self._numbers: dict[int, int] = {}
        self.citations: list[Citation] = []
        self.dropped = 0

    def check(self, draft: Draft) -> str:
        """The draft's text with the markers of verified claims only, in their final numbers."""
        for claim in draft.claims:
            if claim.n not in self._numbers:
                self._verify(claim)

        def renumber(match: re.Match[str]) -> str:
            if match[1] is None:
                return match[0]
            number = self._numbers.get(int(match[1]))
            # A number in brackets that no verified claim stands behind is no citation.
            return "" if number is None else match[0].replace(match[1], str(number))

        return MARKER.sub(renumber, draft.text)

    def _verify(self, claim: Claim) -> None:
        if not 0 <= claim.passage < len(self._passages) or not claim.quote.strip():
            self.dropped += 1
            return
        passage = self._passages[claim.passage]
        at = passage.content.find(claim.quote)
        if at < 0:
            self.dropped += 1
            return
        number = len(self.citations) + 1
        self._numbers[claim.n] = number
        self.citations.append(
            Citation(
                n=number,
                quote=claim.quote,
                chunk_id=passage.chunk_id,
                document_id=passage.document_id,
                source=passage.source,
                title=passage.title,
                heading_path=passage.heading_path,
                start=passage.start + at,
                end=passage.start + at + len(claim.quote),
            )
        )
