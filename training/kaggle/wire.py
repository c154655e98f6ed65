"""How Kaggle is asked: within limits of time, and with each of its ways to fail as one of three."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from model_pipeline.errors import ConfigurationError, PromptlyError, Unavailable

if TYPE_CHECKING:
    from requests import Response

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for what, in seconds."""

    request_s: float = 60
    """For one answer; Kaggle's client itself would wait for ever."""
    retries: int = 5
    backoff_s: float = 2
    poll_s: float = 20
    dataset_s: float = 1800
    """Until Kaggle has processed a dataset."""
    appear_s: float = 600
    """A new kernel may be denied for its first minutes, as one that is not there is."""
    unreadable: int = 10
    """Reads of a status that may fail in a row, each tried `retries` times."""
    whole_s: float = 26 * 3600
    """From the push to the end, queue and all."""
    collections: int = 5


class KaggleAway(Unavailable):
    """No answer, or none that can be read: what was asked may have been done."""

    title = "Kaggle does not answer"


class KaggleDenied(PromptlyError):
    """403 or 404: not there, not one's own, or too new to be seen."""


def ask(call: Callable[[Any], T], request: Any, patience: Patience, *, once: bool) -> T:
    """Tried again with growing pauses while Kaggle is busy or away, but for what would be done
    twice."""
    from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

    retrying = Retrying(
        retry=retry_if_exception_type(KaggleAway),
        stop=stop_after_attempt(1 if once else patience.retries),
        wait=wait_exponential(multiplier=patience.backoff_s, max=60),
        reraise=True,
    )
    answer: T = retrying(_asked, call, request)
    return answer


def _asked(call: Callable[[Any], T], request: Any) -> T:
    with translated():
        return call(request)


@contextmanager
def translated() -> Iterator[None]:
    from requests import HTTPError, RequestException

    try:
        yield
    except HTTPError as error:
        if error.response is not None:
            error.response.close()  # a stream's connection would stay open, its body unread
        raise _of_status(error) from error
    except RequestException as error:
        raise KaggleAway(f"Kaggle does not answer ({type(error).__name__}).") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        # A page in HTML with status 200, a status that its client does not know.
        raise KaggleAway(
            f"Kaggle's answer cannot be read ({type(error).__name__}: {str(error)[:100]})."
        ) from error


def _of_status(error: Any) -> PromptlyError:
    response = error.response
    status = response.status_code if response is not None else 0
    said = str(error)[:200]
    if status == 401:
        return ConfigurationError(
            "Kaggle does not take the key: set another KAGGLE_API_TOKEN, or KAGGLE_KEY."
        )
    if status in (403, 404):
        return KaggleDenied(f"Kaggle denies it: {said}")
    return KaggleAway(f"Kaggle answers {status or 'with an error'}: {said}")


@contextmanager
def absent_is_fine() -> Iterator[None]:
    with suppress(KaggleDenied):
        yield


def named(request: T, **values: Any) -> T:
    for name, value in values.items():
        setattr(request, name, value)
    return request


def bound(client: Any, timeout_s: float) -> None:
    """No answer is waited for longer than that; by itself the client waits for ever."""
    from requests.adapters import HTTPAdapter

    class Bounded(HTTPAdapter):
        def send(self, request: Any, *args: Any, **more: Any) -> Response:
            more["timeout"] = more.get("timeout") or timeout_s
            return super().send(request, *args, **more)

    http = client.http_client()
    http._init_session()
    for scheme in ("https://", "http://"):
        http._session.mount(scheme, Bounded())


def sdk() -> Any:
    try:
        from kagglesdk import kaggle_client
    except ImportError as error:
        raise ConfigurationError(
            "Kaggle's client is not installed: `pip install 'promptly-rag[train]'`."
        ) from error
    return kaggle_client
