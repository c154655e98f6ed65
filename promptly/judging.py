"""The language model that grades answers, where one is set."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from functools import partial

from model_pipeline.errors import ConfigurationError, ModelUnavailable, TooLarge
from model_pipeline.evaluation.judge import Ask
from promptly.generators import naming, options
from promptly.settings import Settings
from rag_service.generate.factory import OPENAI, TRANSFORMERS, model_name, open_writer
from rag_service.generate.prompt import AROUND_MESSAGE, plain
from rag_service.generate.writer import Cut, Message, Writer

SETTING, KEY = "PROMPTLY_JUDGE", "PROMPTLY_JUDGE_API_KEY"


class Judge:
    """`name` identifies model and revision, as far as an endpoint lets one know it. A verdict may
    take `timeout_s`."""

    def __init__(self, spec: str, settings: Settings, *, timeout_s: float) -> None:
        """Raises ConfigurationError for what cannot be a judge; loads nothing."""
        if not spec.startswith((OPENAI, TRANSFORMERS)):
            raise ConfigurationError(
                f"There is no judge {spec!r}: set {SETTING} or --judge to "
                f"{TRANSFORMERS}<repository>@<commit> or {OPENAI}<base url>#<model>."
            )
        key = settings.judge_api_key
        self.timeout_s = timeout_s
        self._spec = spec
        self._options = replace(
            options(settings),
            api_key=key.get_secret_value() if key else None,
            timeout_s=2 * timeout_s,  # of silence: what ends first is always the verdict's time
        )
        with naming(SETTING, KEY):
            self.name = model_name(spec)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Ask]:
        with naming(SETTING, KEY):
            writer = await asyncio.to_thread(open_writer, self._spec, self._options)
        assert writer is not None
        try:
            yield partial(_reply, writer)
        finally:
            await writer.close()

    def check(self) -> None:
        """Whether an endpoint is there and serves the model. Raises ConfigurationError, and
        ModelUnavailable where it may come yet. Not to be called in an event loop."""
        if self._spec.startswith(OPENAI):
            asyncio.run(self._check())

    async def _check(self) -> None:
        from rag_service.generate.openai_writer import OpenAIWriter

        with naming(SETTING, KEY):
            writer = open_writer(self._spec, self._options)
            assert isinstance(writer, OpenAIWriter)
            try:
                await writer.check()
            finally:
                await writer.close()


def message(prompt: str, writer: Writer) -> Message:
    """Raises TooLarge."""
    # What is judged comes from strangers: none of it may end the turn that it stands in.
    text = plain(prompt, writer.special_tokens)
    most = writer.context_tokens - writer.max_new_tokens - AROUND_MESSAGE
    if writer.count_tokens(text) > most:
        raise TooLarge(f"The prompt has over {most} tokens.")
    return Message("user", text)


async def _reply(writer: Writer, prompt: str) -> str:
    """Raises TooLarge, ModelUnavailable."""
    asked = message(prompt, writer)
    said = []
    with naming(SETTING, KEY):
        async with aclosing(writer.write([asked])) as pieces:
            async for piece in pieces:
                if isinstance(piece, Cut):  # what was still to come may have been the verdict
                    raise ModelUnavailable(
                        f"It had more to say than {writer.max_new_tokens} tokens: "
                        "PROMPTLY_MAX_NEW_TOKENS."
                    )
                said.append(piece)
    return "".join(said)
