"""The Hugging Face Hub's client: signed in, with limits of time, and its errors in our words."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_pipeline.errors import (
    ConfigurationError,
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    PromptlyError,
    Unauthorized,
    Unavailable,
)

if TYPE_CHECKING:
    from huggingface_hub import HfApi

INSTALL = "`pip install 'promptly-rag[train]'`"
REPO = re.compile(r"(?!.*(?:--|\.\.|\.git$))[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
CONNECT_S, SILENT_S = 10.0, 120.0
Tell = Callable[[str], None]
_limited_s: float | None = None


@dataclass(frozen=True, slots=True)
class Hub:
    """`api` is signed in where `signed_in`; without, it reads what is public. `keyless` is the only
    repository that a job's identity opens, where that is what signs in."""

    api: HfApi
    signed_in: bool
    keyless: str | None = None

    def require_writable(self, repo: str) -> None:
        """Raises ConfigurationError where nothing can be written there with what is set."""
        if not self.signed_in:
            raise ConfigurationError(
                "The Hub lets nobody write without a token: set HF_TOKEN to one that may write, or "
                "in GitHub Actions HF_OIDC_RESOURCE to the repository and id-token: write."
            )
        if self.keyless not in (None, repo):
            raise ConfigurationError(
                f"HF_OIDC_RESOURCE opens {self.keyless} and not {repo}: set it to the repository "
                "that is to change."
            )


def open_hub(
    endpoint: str,
    *,
    token: str | None,
    keyless: str | None = None,
    silent_s: float = SILENT_S,
    tell: Tell = lambda _: None,
) -> Hub:
    """`keyless` names the repository that a CI job's identity opens; where that fails, `token` is
    used, and `tell` says so. A Hub that is silent for `silent_s` is away. Raises
    ConfigurationError."""
    try:
        import huggingface_hub
    except ImportError as error:
        raise ConfigurationError(f"The Hub's client is not installed: {INSTALL}.") from error
    _limit(silent_s)
    if keyless and _identified(token, tell):
        # Without a token of its own the client takes the identity's, and renews it in time.
        return Hub(huggingface_hub.HfApi(endpoint=endpoint), signed_in=True, keyless=keyless)
    return Hub(huggingface_hub.HfApi(endpoint=endpoint, token=token or False), bool(token))


def require_repo(name: str) -> None:
    """Raises InvalidInput for what is no repository's full name."""
    if not REPO.fullmatch(name):
        raise InvalidInput(f"{name!r} is no repository of the Hub: write owner/name.")


@contextmanager
def hub_errors(repo: str) -> Iterator[None]:
    """The client's errors as ours. Use around every call to it."""
    try:
        yield
    except PromptlyError:
        raise
    except Exception as error:
        if (ours := _translated(error, repo)) is None:
            raise
        raise ours from error


def _translated(error: BaseException, repo: str) -> PromptlyError | None:
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    if type(error) is RuntimeError and error.__cause__:  # of one file of several
        error = error.__cause__
    match error:
        case HfHubHTTPError():
            return _refused(error, repo)
        case HFValidationError():
            return InvalidInput(f"{repo!r} is no repository of the Hub: {_line(error)}")
        case OfflineModeIsEnabled():
            return ConfigurationError("The Hub is not asked: unset HF_HUB_OFFLINE.")
        # A page in place of JSON is of what stands before the Hub.
        case httpx2.TransportError() | httpx2.TooManyRedirects() | json.JSONDecodeError():
            return _away(repo, _line(error))
        case OSError():  # also where the client finds nothing in its cache instead
            return _away(repo, _line(error.__cause__ or error))
        case ValueError():  # of what it checks: a card, an upload
            return InvalidInput(f"The Hub refuses {repo}: {_line(error)}")
    # What is no Python of the client knows no other.
    return _away(repo, _line(error)) if type(error) is RuntimeError else None


def _identified(token: str | None, tell: Tell) -> bool:
    import httpx2
    from huggingface_hub import get_token
    from huggingface_hub.errors import HfHubHTTPError, OIDCError

    try:
        return get_token() is not None
    except (OIDCError, HfHubHTTPError, httpx2.TransportError, json.JSONDecodeError) as error:
        said = f"The Hub does not take this job's identity ({_line(error)})"
        if not token:
            raise ConfigurationError(
                f"{said}: name this workflow as a trusted publisher in the repository's settings "
                "on the Hub and grant it id-token: write, or set HF_TOKEN."
            ) from error
        tell(f"{said}: HF_TOKEN is used.")
        # Some of the client's calls look for the identity again, whatever token they were given.
        os.environ.pop("HF_OIDC_RESOURCE", None)
        return False


def _refused(error: Any, repo: str) -> PromptlyError:
    status, code = error.response.status_code, error.response.headers.get("X-Error-Code")
    said = error.server_message or _line(error)
    if code == "RevisionNotFound":
        return NotFound(f"{repo} has no such version or commit.")
    if code == "EntryNotFound":
        return NotFound(f"{repo} has no such file at that commit.")
    match status:
        case 401 if code != "RepoNotFound":
            return Unauthorized(f"The Hub does not know this token ({said}): make a new HF_TOKEN.")
        case 401 | 404:
            return NotFound(f"The Hub has no model {repo}, or none that this token may see.")
        case 403:
            return Forbidden(f"This token may not do this in {repo} on the Hub: {said}.")
        case 409 | 412:
            return Conflict(f"{repo} was changed by somebody else meanwhile: {said}")
        case 408 | 429 | 500 | 502 | 503 | 504:
            return _away(repo, f"status {status}")
    return InvalidInput(f"The Hub refuses {repo} (status {status}): {said}")


def _away(repo: str, reason: str) -> Unavailable:
    return Unavailable(
        f"The Hub does not answer for {repo} ({reason}): run the same again, which goes on where "
        "this ended and does nothing twice."
    )


def _limit(silent_s: float) -> None:
    """The library's own client, one for the process, would wait for ever. Setting the same limit
    again would end what other threads have under way."""
    global _limited_s
    import httpx2
    from huggingface_hub import set_client_factory

    if silent_s == _limited_s:
        return
    timeout = httpx2.Timeout(silent_s, connect=min(CONNECT_S, silent_s))
    set_client_factory(lambda: httpx2.Client(follow_redirects=True, timeout=timeout))
    _limited_s = silent_s


def _line(error: BaseException | None) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (" ".join(lines) or type(error).__name__)[:300]


def status_of(error: BaseException) -> int | None:
    """What the Hub answered with, where it did."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def downloaded(hub: Hub, repo: str, commit: str, path: str, folder: Path) -> Path:
    """One file at a commit, in `folder`."""
    with hub_errors(repo):
        return Path(hub.api.hf_hub_download(repo, path, revision=commit, local_dir=folder))
