"""What both clients share: who asks, how errors are told, when a request is sent again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from types import NoneType
from typing import Any, Self, TypeVar, cast

import httpx
from pydantic import BaseModel

from rag_service.client import errors
from rag_service.client.calls import Call
from rag_service.client.errors import ServiceAway, ServiceError

T = TypeVar("T")
# Who is told to come back later than this is told so: a caller knows better what to do meanwhile.
LONGEST_WAIT_S = 10.0


class Connection:
    """`token` is a person's access token, or a service key; without one, the client is anybody.
    `retries` is how often what can be repeated is sent again where the service says when."""

    def __init__(self, base_url: str, *, token: str | None, retries: int) -> None:
        self.base_url = base_url.rstrip("/")
        self.token = token
        self.retries = retries

    def with_token(self, token: str | None) -> Self:
        """The same connections as somebody else; closing either closes both."""
        other = copy(self)
        other.token = token
        return other

    def _arguments(self, call: Call[T]) -> dict[str, Any]:
        """Of httpx's request, with who asks."""
        arguments = call.given.arguments()
        if self.token is not None:
            headers = {**arguments.get("headers", {}), "Authorization": f"Bearer {self.token}"}
            arguments["headers"] = headers
        return arguments

    def _wait_s(self, call: Call[T], response: httpx.Response, retried: int) -> float | None:
        """How long until the call is sent again; None where this response is the last."""
        wait = errors.retry_after(response)
        refused = response.status_code in (429, 503) and wait is not None and wait <= LONGEST_WAIT_S
        return wait if refused and call.repeatable and retried < self.retries else None

    def _read(self, call: Call[T], response: httpx.Response) -> T:
        if response.is_error:
            raise errors.from_response(response)
        if call.reply is NoneType:
            return cast(T, None)
        assert issubclass(call.reply, BaseModel)
        with self._expected():
            return cast(T, call.reply.model_validate(response.json()))

    @contextmanager
    def _expected(self) -> Iterator[None]:
        """For reading a reply: one of another shape comes from some other service."""
        try:
            yield
        except (ValueError, KeyError, TypeError) as error:
            raise ServiceError(
                502,
                "Not Promptly",
                f"What answers at {self.base_url} is not Promptly: look at its address.",
            ) from error

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except httpx.TimeoutException as error:
            raise ServiceAway(
                f"The service at {self.base_url} did not answer in time: try again."
            ) from error
        except (httpx.ReadError, httpx.RemoteProtocolError) as error:
            raise ServiceAway(f"The service at {self.base_url} broke off: try again.") from error
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise ServiceAway(
                f"{self.base_url!r} is not the address of a service: give one such as "
                "http://127.0.0.1:8000."
            ) from error
        except httpx.HTTPError as error:
            raise ServiceAway(
                f"The service at {self.base_url} does not answer: start it with `make run`."
            ) from error

    def _broke_off(self) -> ServiceAway:
        return ServiceAway(f"The answer of {self.base_url} broke off before its end: ask again.")
