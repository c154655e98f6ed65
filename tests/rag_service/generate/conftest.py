"""Tiny language models, and passages to ask them about."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from uuid import uuid4

import pytest

from model_pipeline.domain import AS_RELEASED, Passage, Wording
from rag_service.generate.writer import CUT, Cut, Message
from tests.language_models import make_language_model

SAYS = "The shop is closed on public holidays [1]. A tent can be returned within 30 days [2]."


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Answers anything with SAYS."""
    return make_language_model(tmp_path_factory.mktemp("llama") / "tiny", says=SAYS)


class ScriptedWriter:
    """Writes what it is given, a few characters at a time, up to `max_tokens` pieces, and notes
    what it was shown."""

    name = "scripted"
    special_tokens: Sequence[str] = ("<|im_start|>", "<|weird|token|>")

    def __init__(self, text: str, *, context_tokens: int = 4096, max_new_tokens: int = 64) -> None:
        self.text = text
        self.context_tokens = context_tokens
        self.max_new_tokens = max_new_tokens
        self.shown: list[Message] = []
        self.written = 0

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    async def write(
        self, messages: Sequence[Message], wording: Wording = AS_RELEASED
    ) -> AsyncGenerator[str | Cut]:
        self.shown = list(messages)
        for at in range(0, len(self.text), 5):
            if wording.max_tokens and at >= 5 * wording.max_tokens:
                yield CUT
                return
            self.written = at
            yield self.text[at : at + 5]


NewPassage = Callable[..., Passage]


@pytest.fixture(scope="session")
def new_passage() -> NewPassage:
    def make(content: str, *, title: str = "Shop", start: int = 100) -> Passage:
        return Passage(uuid4(), uuid4(), "shop.md", title, (), content, {}, start, 0.03)

    return make
