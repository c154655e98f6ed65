"""The client that waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Concatenate, ParamSpec, TypeVar

import httpx

from rag_service.client import errors, operations
from rag_service.client.calls import Call, as_method
from rag_service.client.connection import Connection
from rag_service.client.errors import ClientError
from rag_service.client.events import AnswerEvent, DoneEvent, EventReader

P = ParamSpec("P")
T = TypeVar("T")


def _endpoint(described: Callable[P, Call[T]]) -> Callable[Concatenate[Client, P], T]:
    def method(client: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return client._send(described(*args, **kwargs))

    return as_method(method, described)


def _streaming(
    described: Callable[P, Call[T]],
) -> Callable[Concatenate[Client, P], Iterator[AnswerEvent]]:
    def method(client: Client, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[AnswerEvent]:
        return client._stream(described(*args, **kwargs).streamed())

    return as_method(method, described)


class Client(Connection):
    """Every call raises ServiceError or ServiceAway. Close it, or use it in `with`."""

    def __init__(
        self,
        base_url: str,
        *,
        token: str | None = None,
        timeout_s: float = 60.0,
        retries: int = 2,
    ) -> None:
        super().__init__(base_url, token=token, retries=retries)
        # The service is named explicitly: a proxy from the environment is not for it.
        with self._errors():
            self._http = httpx.Client(base_url=self.base_url, timeout=timeout_s, trust_env=False)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    search = _endpoint(operations.search)
    ask = _endpoint(operations.ask)
    documents = _endpoint(operations.documents)
    document = _endpoint(operations.document)
    delete_document = _endpoint(operations.delete_document)
    add_text = _endpoint(operations.add_text)
    upload = _endpoint(operations.upload)
    collections = _endpoint(operations.collections)
    create_collection = _endpoint(operations.create_collection)
    change_collection = _endpoint(operations.change_collection)
    delete_collection = _endpoint(operations.delete_collection)
    members = _endpoint(operations.members)
    set_member = _endpoint(operations.set_member)
    remove_member = _endpoint(operations.remove_member)
    sources = _endpoint(operations.sources)
    add_source = _endpoint(operations.add_source)
    remove_source = _endpoint(operations.remove_source)
    refresh_source = _endpoint(operations.refresh_source)
    jobs = _endpoint(operations.jobs)
    retry_job = _endpoint(operations.retry_job)
    history = _endpoint(operations.history)
    conversation = _endpoint(operations.conversation)
    delete_conversation = _endpoint(operations.delete_conversation)
    give_feedback = _endpoint(operations.give_feedback)
    remove_feedback = _endpoint(operations.remove_feedback)
    verdicts = _endpoint(operations.verdicts)
    review = _endpoint(operations.review)

    # The answer as it comes: ends with a DoneEvent, or raises.
    ask_stream = _streaming(operations.ask)

    def _stream(self, call: Call[T]) -> Iterator[AnswerEvent]:
        reader = EventReader()
        with (
            self._errors(),
            self._expected(),
            self._http.stream(call.method, call.path, **self._arguments(call)) as response,
        ):
            if response.is_error:
                response.read()
                raise errors.from_response(response)
            for piece in response.iter_bytes():
                for event in reader.feed(piece):
                    yield event
                    if isinstance(event, DoneEvent):
                        return
        raise self._broke_off()

    def alive(self) -> bool:
        """Whether the service's process lives."""
        return self._succeeds(operations.alive())

    def ready(self) -> bool:
        """Whether the service can answer now; False as well where nothing listens."""
        return self._succeeds(operations.ready())

    def _succeeds(self, call: Call[T]) -> bool:
        try:
            self._send(call)
        except ClientError:
            return False
        return True

    def _send(self, call: Call[T]) -> T:
        for retried in count():
            with self._errors():
                response = self._http.request(call.method, call.path, **self._arguments(call))
            wait_s = self._wait_s(call, response, retried)
            if wait_s is None:
                break
            time.sleep(wait_s)
        return self._read(call, response)
