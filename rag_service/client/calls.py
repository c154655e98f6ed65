"""How an operation of the API is described, once for both clients."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar
from urllib.parse import quote

P = ParamSpec("P")
T = TypeVar("T")
Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What goes where in a request; what is None of the query is left out."""

    path: Mapping[str, object] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    files: Sequence[tuple[str, bytes]] = ()
    form: Mapping[str, str] = field(default_factory=dict)

    def arguments(self) -> dict[str, Any]:
        """As httpx takes them."""
        if self.files:
            return {"files": [("files", file) for file in self.files], "data": dict(self.form)}
        query = {name: value for name, value in self.query.items() if value is not None}
        arguments: dict[str, Any] = {"params": query} if query else {}
        if self.body is not None:
            # In ASCII, so that half a character reaches the service, which says what is wrong.
            arguments["content"] = json.dumps(self.body).encode("ascii")
            arguments["headers"] = {"Content-Type": "application/json"}
        return arguments


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request. `repeatable`: sent twice it does what it does once."""

    method: str
    path: str
    given: Given
    reply: type[T]
    repeatable: bool

    def streamed(self) -> Call[T]:
        body = {**(self.given.body or {}), "stream": True}
        return replace(self, given=replace(self.given, body=body))


class Operation(Generic[P, T]):
    """Makes the calls of one operation; `path` is as the OpenAPI document has it."""

    def __init__(
        self,
        function: Callable[P, Given],
        method: str,
        path: str,
        reply: type[T],
        *,
        repeatable: bool,
    ) -> None:
        self._function = function
        self.method = method
        self.path = path
        self.reply = reply
        self.repeatable = repeatable
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Call[T]:
        given = self._function(*args, **kwargs)
        names = {name: quote(str(value), safe="") for name, value in given.path.items()}
        return Call(self.method, self.path.format(**names), given, self.reply, self.repeatable)


def operation(
    method: str, path: str, reply: type[T], *, repeatable: bool | None = None
) -> Callable[[Callable[P, Given]], Operation[P, T]]:
    """`repeatable` by its method, where nothing is said: reading is, and putting in place."""

    def describe(function: Callable[P, Given]) -> Operation[P, T]:
        again = method in ("GET", "PUT") if repeatable is None else repeatable
        return Operation(function, method, path, reply, repeatable=again)

    return describe


def as_method(method: Function, described: Callable[..., Any]) -> Function:
    """`method`, which takes a client and the arguments of `described`, with the name, the words and
    the signature of that."""
    update_wrapper(method, described)
    signature = inspect.signature(described)
    client = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = [client, *signature.parameters.values()]
    method.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return method
