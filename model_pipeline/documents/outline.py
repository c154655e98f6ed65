"""Heading paths, and text put together block by block."""

from __future__ import annotations

from model_pipeline.domain import Section


class Outline:
    """The headings above the place that reading has come to."""

    def __init__(self) -> None:
        self._open: list[tuple[int, str]] = []

    def heading(self, level: int, title: str) -> None:
        while self._open and self._open[-1][0] >= level:
            self._open.pop()
        self._open.append((level, title))

    @property
    def path(self) -> tuple[str, ...]:
        return tuple(title for _, title in self._open if title)


class TextBuilder:
    """A text made of blocks with blank lines between them; each block keeps its heading path."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._blocks: list[Section] = []
        self._length = 0
        self._outline = Outline()
        self.first_heading = ""

    def heading(self, level: int, title: str) -> None:
        self.first_heading = self.first_heading or title
        self._outline.heading(level, title)
        self.block(title)

    def place(self, level: int, title: str) -> None:
        """A heading that is not part of the text, such as a page's number."""
        self._outline.heading(level, title)

    def block(self, text: str) -> None:
        if not text.strip():
            return
        if self._parts:
            self._parts.append("\n\n")
            self._length += 2
        self._parts.append(text)
        self._blocks.append(Section(self._length, self._length + len(text), self._outline.path))
        self._length += len(text)

    @property
    def text(self) -> str:
        return "".join(self._parts)

    @property
    def blocks(self) -> tuple[Section, ...]:
        return tuple(self._blocks)
