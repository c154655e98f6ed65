"""A language model behind an endpoint that speaks OpenAI's protocol: vLLM, TGI, llama.cpp, Ollama,
or a hosted one.

What passes by itself (no connection, 429, 5xx, a stream that ends before it began) is tried again
with growing, random pauses, until the first text has come; after that nothing is asked twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import structlog

from model_pipeline.domain import AS_RELEASED, Wording
from model_pipeline.errors import ConfigurationError, ModelUnavailable
from rag_service.generate.writer import CUT, Cut, Message, Spent, unheard
from rag_service.spans import headers

if TYPE_CHECKING:
    from tenacity import RetryCallState

log = structlog.get_logger()
ATTEMPTS = 3
LONGEST_PAUSE_S = 2.0
CONNECT_S = 3.0
# Without the model's own tokenizer: few texts have more tokens than this by their UTF-8 bytes.
BYTES_PER_TOKEN = 3
# An endpoint that does not keep to max_tokens is left after so much.
CHARACTERS_PER_TOKEN = 16
HOSTED = "api.openai.com"


def parse_endpoint(spec: str) -> tuple[str, str]:
    """Base URL and model of "<base url>#<model>". Raises ConfigurationError."""
    base, _, model = spec.partition("#")
    parts = urlsplit(base)
    if parts.scheme not in ("http", "https") or not parts.hostname or not model:
        raise ConfigurationError(
            f"PROMPTLY_GENERATOR is 'openai:{spec}': write openai:<base url>#<model>, as in "
            "openai:http://127.0.0.1:8080/v1#qwen3."
        )
    if parts.username or parts.password:
        raise ConfigurationError(
            "PROMPTLY_GENERATOR holds a password, which would be shown with each answer: set "
            "PROMPTLY_OPENAI_API_KEY instead."
        )
    return base, model


def endpoint_name(base_url: str, model: str) -> str:
    return f"openai:{model}@{urlsplit(base_url).netloc}"


class OpenAIWriter:
    """`timeout_s`: to the first text of one attempt, and between one piece and the next."""

    special_tokens: Sequence[str] = ()  # only the endpoint knows them

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str | None = None,
        context_tokens: int = 8192,
        max_new_tokens: int = 512,
        timeout_s: float = 10.0,
        spent: Spent = unheard,
    ) -> None:
        try:
            import openai
            import tenacity
        except ImportError as error:
            raise ConfigurationError(
                "The generator 'openai' is not installed: `pip install 'promptly-rag[openai]'`."
            ) from error
        host = urlsplit(base_url).hostname
        if host == HOSTED and not api_key:
            raise ConfigurationError(f"{HOSTED} wants a key: set PROMPTLY_OPENAI_API_KEY.")
        self._openai, self._tenacity = openai, tenacity
        self._client = openai.AsyncOpenAI(
            base_url=base_url,
            api_key=api_key or "none",  # the library wants one
            timeout=openai.Timeout(timeout_s, connect=min(CONNECT_S, timeout_s)),
            max_retries=0,  # counted here, to the first text
        )
        self._model = model
        self._limit = "max_completion_tokens" if host == HOSTED else "max_tokens"
        self._timeout_s = timeout_s
        self._spent = spent
        self._asks_usage = True
        self.name = endpoint_name(base_url, model)
        self.context_tokens = context_tokens
        self.max_new_tokens = max_new_tokens

    def count_tokens(self, text: str) -> int:
        return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)

    async def write(
        self, messages: Sequence[Message], wording: Wording = AS_RELEASED
    ) -> AsyncGenerator[str | Cut]:
        """At temperature 0 unless `wording` has another. Raises ModelUnavailable."""
        asked = self._asked(wording)
        left = asked[self._limit] * CHARACTERS_PER_TOKEN
        pieces: _Pieces | None = None
        text: str | Cut | None = None
        try:
            pieces, text = await self._begun(messages, asked)
            while isinstance(text, str) and left > 0:
                left -= len(text)
                yield text
                text = await pieces.next()
            self._tell(pieces.usage)
            if text is not None:
                yield CUT
        except Exception as error:
            raise self._said(error, begun=text is not None) from error
        finally:
            if pieces is not None:
                await pieces.close()  # the endpoint stops as soon as nobody reads

    async def check(self) -> str:
        """What the endpoint says of itself. Raises ConfigurationError and ModelUnavailable."""
        try:
            async with asyncio.timeout(self._timeout_s):
                served = [one.id async for one in self._client.models.list()]
        except (self._openai.NotFoundError, self._openai.APIResponseValidationError):
            return f"{self.name} (the endpoint lists no models)"
        except (self._openai.AuthenticationError, self._openai.PermissionDeniedError) as error:
            raise ConfigurationError(
                "The endpoint of PROMPTLY_GENERATOR wants another key: set PROMPTLY_OPENAI_API_KEY."
            ) from error
        except Exception as error:
            raise self._said(error) from error
        if self._model not in served:
            raise ConfigurationError(
                f"The endpoint of PROMPTLY_GENERATOR serves no model {self._model!r}: it has "
                f"{', '.join(served[:5]) or 'none'}."
            )
        return self.name

    async def close(self) -> None:
        await self._client.close()

    def _asked(self, wording: Wording) -> dict[str, Any]:
        """The parameters of the protocol for it: those alone that it has, since some endpoints
        refuse what they do not know."""
        most = min(self.max_new_tokens, wording.max_tokens or self.max_new_tokens)
        drawn = {"top_p": wording.top_p, "seed": wording.seed} if wording.is_random else {}
        told = {key: value for key, value in drawn.items() if value is not None}
        temperature = wording.temperature if wording.is_random else 0
        return {"temperature": temperature, **told, self._limit: most}

    async def _begun(
        self, messages: Sequence[Message], asked: dict[str, Any]
    ) -> tuple[_Pieces, str | Cut | None]:
        """A stream's pieces and the first text; None where it has none."""
        tenacity = self._tenacity
        async for attempt in tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(ATTEMPTS),
            wait=self._pause,
            retry=tenacity.retry_if_exception(self._passes),
            reraise=True,
        ):
            with attempt:
                pieces = _Pieces(await self._stream(messages, asked), self._timeout_s)
                try:
                    return pieces, await pieces.next()
                except BaseException:
                    await pieces.close()
                    raise
        raise AssertionError("the last attempt returns or raises")

    async def _stream(self, messages: Sequence[Message], asked: dict[str, Any]) -> Any:
        known = self._openai
        usage = {"stream_options": {"include_usage": True}} if self._asks_usage else {}
        try:
            return await self._client.chat.completions.create(
                model=self._model,
                messages=[{"role": one.role, "content": one.content} for one in messages],  # type: ignore[misc]
                stream=True,
                extra_body=asked | usage,
                extra_headers=headers(),
            )
        except (known.BadRequestError, known.UnprocessableEntityError) as error:
            if not self._asks_usage or "stream_options" not in str(error):
                raise
            self._asks_usage = False  # an endpoint that takes nothing it does not know
            return await self._stream(messages, asked)

    def _tell(self, usage: Any) -> None:
        """Of an endpoint that says it: they may say anything."""
        prompt = getattr(usage, "prompt_tokens", None)
        written = getattr(usage, "completion_tokens", None)
        if isinstance(prompt, int) and isinstance(written, int) and min(prompt, written) >= 0:
            self._spent(prompt, written)

    def _passes(self, error: BaseException) -> bool:
        """Whether it may be different in a moment. Who did not answer in time will not do so now:
        the asker has waited long enough."""
        import httpx2

        known = self._openai
        return isinstance(
            error,
            known.APIConnectionError
            | known.RateLimitError
            | known.InternalServerError
            | httpx2.TransportError,
        ) and not isinstance(error, known.APITimeoutError | httpx2.ReadTimeout)

    def _pause(self, state: RetryCallState) -> float:
        """As long as the endpoint asks for, within limits; at random, so that not all come back at
        once."""
        random = self._tenacity.wait_random_exponential(multiplier=0.2, max=LONGEST_PAUSE_S)(state)
        error = state.outcome.exception() if state.outcome else None
        response = getattr(error, "response", None)
        try:
            asked = float(response.headers.get("retry-after", 0)) if response is not None else 0.0
        except ValueError:  # a date
            asked = 0.0
        return float(min(LONGEST_PAUSE_S, max(random, asked)))

    def _said(self, error: Exception, *, begun: bool = False) -> ModelUnavailable:
        """One sentence for whoever asked; for the log its kind, since an endpoint's words may quote
        the prompt."""
        import httpx2

        known = self._openai
        status = error.status_code if isinstance(error, known.APIStatusError) else None
        log.warning("model_unavailable", model=self.name, error=type(error).__name__, status=status)
        passing = True
        match error:
            case TimeoutError() | httpx2.TimeoutException() | known.APITimeoutError():
                said = f"The language model did not answer within {self._timeout_s:g} s"
            case known.AuthenticationError() | known.PermissionDeniedError():
                said = "The language model's endpoint refuses the key in PROMPTLY_OPENAI_API_KEY"
            case known.NotFoundError():
                said = "The language model's endpoint does not know the model"
            case known.RateLimitError():
                said = "The language model has too much to do"
            case known.InternalServerError():
                said = f"The language model's endpoint failed with status {error.status_code}"
            case known.APIStatusError():
                said, passing = "The language model's endpoint refuses the request", False
            case known.APIConnectionError() if not begun:
                said = "The language model's endpoint cannot be reached"
            case _:
                said = "The language model broke off"
        return ModelUnavailable(f"{said}.", passing=passing)


class _Pieces:
    """The texts of one stream; behind the last, what the endpoint says that it took."""

    def __init__(self, stream: Any, timeout_s: float) -> None:
        self._stream = stream
        self._chunks: AsyncIterator[Any] = aiter(stream)
        self._timeout_s = timeout_s
        self._cut = False
        self.usage: Any = None

    async def next(self) -> str | Cut | None:
        """None at the end, after CUT where the model had more to say. What has no text (a role, a
        thought) shows that it is alive."""
        while True:
            async with asyncio.timeout(self._timeout_s):
                chunk = await anext(self._chunks, None)
            if chunk is None:
                cut, self._cut = self._cut, False
                return CUT if cut else None
            self.usage = chunk.usage or self.usage
            for choice in chunk.choices[:1]:
                self._cut = self._cut or choice.finish_reason == "length"
                if text := choice.delta.content:
                    return str(text)

    async def close(self) -> None:
        await self._stream.close()
