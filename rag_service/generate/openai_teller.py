"""Whole answers of an endpoint, held to a JSON schema and with the chances of their tokens, where
it offers either."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from model_pipeline.domain import AS_RELEASED
from model_pipeline.errors import ModelUnavailable
from rag_service.generate.openai_writer import ATTEMPTS, OpenAIWriter
from rag_service.generate.told import Told
from rag_service.generate.writer import Message
from rag_service.spans import headers

LIKELIEST = 5  # what all endpoints tell that tell any


class OpenAITeller(OpenAIWriter):
    """What an endpoint refuses to be asked for, it is asked for once."""

    _offers = frozenset(("response_format", "logprobs"))

    async def tell(self, messages: Sequence[Message], schema: Mapping[str, Any]) -> Told:
        """At temperature 0. Raises ModelUnavailable, also for a model that refuses to answer."""
        try:
            found = await self._asked_whole(messages, schema)
        except Exception as error:
            raise self._said(error) from error
        choice = next(iter(found.choices or ()), None)
        if choice is None or choice.finish_reason == "content_filter" or choice.message.refusal:
            raise ModelUnavailable("The language model refuses to answer.", passing=False)
        return Told(choice.message.content or "", _tokens(choice))

    async def _asked_whole(self, messages: Sequence[Message], schema: Mapping[str, Any]) -> Any:
        known, tenacity = self._openai, self._tenacity
        retrying = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(ATTEMPTS),
            wait=self._pause,
            retry=tenacity.retry_if_exception(self._passes),
            reraise=True,
        )
        offered = self._offers  # which another question may change meanwhile
        try:
            return await retrying(self._complete, messages, _extras(offered, schema))
        except (known.BadRequestError, known.UnprocessableEntityError) as error:
            if not offered:
                raise
            refused = {one for one in offered if one in str(error)} or offered
            self._offers = self._offers - refused
            return await self._asked_whole(messages, schema)

    async def _complete(self, messages: Sequence[Message], extras: Mapping[str, Any]) -> Any:
        return await self._client.chat.completions.create(
            model=self._model,
            messages=[{"role": one.role, "content": one.content} for one in messages],  # type: ignore[misc]
            extra_body={**self._asked(AS_RELEASED), **extras},
            extra_headers=headers(),
        )


def _extras(offered: Collection[str], schema: Mapping[str, Any]) -> dict[str, Any]:
    extras: dict[str, Any] = {}
    if "response_format" in offered:
        held = {"name": "answer", "strict": True, "schema": schema}
        extras["response_format"] = {"type": "json_schema", "json_schema": held}
    if "logprobs" in offered:
        extras |= {"logprobs": True, "top_logprobs": LIKELIEST}
    return extras


def _tokens(choice: Any) -> tuple[tuple[str, Mapping[str, float]], ...]:
    """Of an endpoint that tells them: they may say anything."""
    content = getattr(choice.logprobs, "content", None) or ()
    try:
        return tuple(
            (
                str(one.token),
                {str(each.token): float(each.logprob) for each in (*one.top_logprobs, one)},
            )
            for one in content
        )
    except (AttributeError, TypeError, ValueError):
        return ()
