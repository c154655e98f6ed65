"""Pages of the web, one by one: fetched within limits, and within the public web where asked."""

from __future__ import annotations

import time
from importlib.metadata import PackageNotFoundError, version
from urllib.parse import urlsplit

import httpx

from model_pipeline.documents.found import (
    CONTAINERS,
    MEDIA_TYPES,
    Failed,
    Found,
    ReadLimits,
    format_of,
)
from model_pipeline.documents.public_web import PublicWeb
from model_pipeline.errors import UnreadableDocument

# The name by which a robots.txt may speak to it.
AGENT = "Promptly"
MAX_REDIRECTS = 5
# Of one source; a server meets no more of us at once.
AT_ONCE = 4
GONE = (404, 410)


class NotFetched(UnreadableDocument):
    """`answer` is the status that came, None where none did."""

    def __init__(self, message: str, answer: int | None = None) -> None:
        super().__init__(message)
        self.answer = answer


def open_client(limits: ReadLimits, *, public_only: bool = False) -> httpx.Client:
    """With `public_only` it reaches no address of this machine or of a private network, whatever
    name or redirect leads there."""
    return httpx.Client(
        headers={"User-Agent": f"{AGENT}/{_version()} (it reads pages to answer from them)"},
        follow_redirects=True,
        max_redirects=MAX_REDIRECTS,
        timeout=limits.url_seconds,
        limits=httpx.Limits(max_connections=AT_ONCE),
        transport=PublicWeb(AT_ONCE) if public_only else None,
    )


def fetch(client: httpx.Client, url: str, limits: ReadLimits) -> Found | Failed:
    """The page at `url`, known by it wherever that leads."""
    try:
        content, media_type = get(client, url, limits)
    except NotFetched as error:
        if error.answer in GONE:
            return Failed(url, error.message, url, keeps="nothing")
        # Of a file of rows it is not known which documents it held.
        rows = format_of(urlsplit(url).path) in CONTAINERS
        return Failed(url, error.message, url, keeps="origin" if rows else "document")
    known = format_of(urlsplit(url).path) or MEDIA_TYPES.get(media_type)
    if known is None:
        reason = f"{url} is {media_type or 'of no stated type'}, which is not read."
        return Failed(url, reason, url, keeps="document")
    return Found(url, url, known, lambda: content)


def get(client: httpx.Client, url: str, limits: ReadLimits) -> tuple[bytes, str]:
    """What `url` answers, and its media type; raises NotFetched."""
    content = bytearray()
    deadline = time.monotonic() + limits.seconds
    try:
        with client.stream("GET", url) as response:
            if not response.is_success:
                status = response.status_code
                raise NotFetched(f"{url} answered {status}.", status)
            media_type = response.headers.get("content-type", "").split(";")[0].strip().lower()
            for part in response.iter_bytes():
                content += part
                if len(content) > limits.file_bytes:
                    raise NotFetched(f"{url} is larger than {limits.file_bytes:,} bytes.")
                if time.monotonic() > deadline:
                    raise NotFetched(f"{url} takes longer than {limits.seconds:g} s.")
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        reason = str(error).rstrip(".") or type(error).__name__
        raise NotFetched(f"{url} cannot be fetched: {reason}.") from error
    return bytes(content), media_type


def _version() -> str:
    try:
        return version("promptly-rag")
    except PackageNotFoundError:
        return "0"
