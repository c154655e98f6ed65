"""The sentences of a text that is still being written."""

from __future__ import annotations

import re

from model_pipeline.text.sentences import sentences

# Where only this stands behind a sentence, its citation may still be coming.
MARKERS = re.compile(r"\s*(?:[\[【][\d\s,;–-]*[\]】]\s*)*(?:[\[【][\d\s,;–-]*)?")
ONLY_MARKERS = re.compile(r"\s*(?:[\[【][\d\s,;–-]+[\]】][\s.,;]*)+")
FIRST_WORD = re.compile(r"\s*\S+\s")
THINKING, THOUGHT = "<think>", "</think>"
# Less than this many words ("Yes.") goes with what follows.
ALONE = 3


class Written:
    """Text in, whole sentences out, each with the white space before it; joined they are the text,
    without what the model thought aloud before it answered."""

    def __init__(self) -> None:
        self._rest = ""
        self._thinking: bool | None = None  # None: not known yet

    def add(self, piece: str) -> list[str]:
        self._rest += piece
        if self._thinks():
            return []
        return self._taken(whole=False)

    def end(self) -> list[str]:
        return [] if self._thinks() else self._taken(whole=True)

    def _thinks(self) -> bool:
        if self._thinking is None:
            start = self._rest.lstrip()
            if len(start) < len(THINKING) and THINKING.startswith(start):
                return True
            self._thinking = start.startswith(THINKING)
        if self._thinking:
            _, ended, self._rest = self._rest.rpartition(THOUGHT)
            self._thinking = not ended
        return self._thinking

    def _taken(self, *, whole: bool) -> list[str]:
        ends = _ends(self._rest)
        if whole:
            ends = [*ends[:-1], len(self._rest)] if self._rest.strip() else []
        else:
            ends = ends[:-1]
            # The one before may yet get a marker, or turn out not to have ended.
            while ends and not _begun(self._rest[ends[-1] :]):
                ends.pop()
        found = [self._rest[a:b] for a, b in zip([0, *ends], ends, strict=False)]
        self._rest = self._rest[ends[-1] :] if ends else self._rest
        return found


def _begun(text: str) -> bool:
    markers = MARKERS.match(text)
    return markers is not None and FIRST_WORD.match(text, markers.end()) is not None


def _ends(text: str) -> list[int]:
    """Where the sentences end: at white space only, markers with the one before them, and what is
    too short to say anything with the one behind it."""
    ends: list[int] = []
    start = 0
    for piece in sentences(text):
        if (
            ends
            and (
                not text[ends[-1] : piece.start]
                or ONLY_MARKERS.fullmatch(text, piece.start, piece.end)
            )
        ) or (ends and len(text[start : ends[-1]].split()) < ALONE and piece.kind == "text"):
            ends.pop()
            start = ends[-1] if ends else 0
        elif ends:
            start = ends[-1]
        ends.append(piece.end)
    return ends
