"""What a run logs and leaves on Kaggle, and what it was given."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from model_pipeline.errors import InvalidInput
from training.kaggle.client import Kaggle
from training.kaggle.wire import KaggleAway, KaggleDenied, named, translated

if TYPE_CHECKING:
    from requests import Response

LARGEST_OUTPUT = 20 * 2**30  # bytes: Kaggle's own limit of a working folder
MOST_FILES = 10_000
QUIET_S = 1.0  # without a line: that was all so far


def log_lines(kaggle: Kaggle, slug: str) -> Iterator[str]:
    """From the beginning: up to now and on where it runs, else all of it. A connection that is
    cut ends it as KaggleAway; Kaggle then tells all anew."""
    from kagglesdk.kernels.types.kernels_api_service import (
        ApiGetKernelSessionLogsStreamRequest,
    )

    request = named(ApiGetKernelSessionLogsStreamRequest(), user_name=kaggle.user, kernel_slug=slug)
    response: Response = kaggle.ask(kaggle.kernels_api.get_kernel_session_logs_stream, request)
    with translated(), response:
        if "text/event-stream" in response.headers.get("content-type", ""):
            yield from _streamed(response)
        else:
            yield from lines_of(response.text)


def lines_so_far(kaggle: Kaggle, slug: str) -> list[str]:
    """Without waiting for what it logs later."""
    found: list[str] = []
    reading = threading.Thread(target=_read_into, args=(found, kaggle, slug), daemon=True)
    reading.start()
    told = -1
    while reading.is_alive() and told < len(found):
        told = len(found)
        reading.join(QUIET_S)
    return list(found)


def _read_into(lines: list[str], kaggle: Kaggle, slug: str) -> None:
    with suppress(KaggleAway, KaggleDenied):
        for line in log_lines(kaggle, slug):
            lines.append(line)  # one by one: it is looked at meanwhile


def download(kaggle: Kaggle, slug: str, folder: Path) -> list[str]:
    """What it left, into `folder`; returns the names. A name that leads elsewhere is refused
    as InvalidInput."""
    from kagglesdk.kernels.types.kernels_api_service import ApiListKernelSessionOutputRequest

    request = named(
        ApiListKernelSessionOutputRequest(),
        user_name=kaggle.user, kernel_slug=slug, page_size=100,
    )  # fmt: skip
    names: list[str] = []
    room = LARGEST_OUTPUT
    while True:
        page = kaggle.ask(kaggle.kernels_api.list_kernel_session_output, request)
        for one in page.files or []:
            room -= _fetch(kaggle, one.url, _inside(folder, one.file_name), room)
            names.append(one.file_name)
            if len(names) > MOST_FILES:
                raise InvalidInput(f"The run left more than {MOST_FILES:,} files.")
        if not page.next_page_token:
            return names
        request.page_token = page.next_page_token


def download_dataset(kaggle: Kaggle, slug: str, folder: Path) -> None:
    """The files that it was given, but for archives, which Kaggle has unpacked."""
    from kagglesdk.datasets.types.dataset_api_service import ApiDownloadDatasetRequest

    call = kaggle.datasets_api.download_dataset
    for name in kaggle.dataset_files(slug):
        request = named(
            ApiDownloadDatasetRequest(),
            owner_slug=kaggle.user,
            dataset_slug=slug,
            file_name=name,
            raw=True,
        )
        _save(kaggle, partial(call, request), _inside(folder, name), LARGEST_OUTPUT)


def _fetch(kaggle: Kaggle, url: str, path: Path, most: int) -> int:
    import requests

    limit = kaggle.patience.request_s
    return _save(kaggle, lambda: requests.get(url, stream=True, timeout=limit), path, most)


def _save(kaggle: Kaggle, get: Callable[[], Response], path: Path, most: int) -> int:
    """Whole or not at all; returns its size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")

    def save(_: Any) -> int:
        size = 0
        with get() as answer, part.open("wb") as file:
            answer.raise_for_status()
            for piece in answer.iter_content(1 << 20):
                size += len(piece)
                if size > most:
                    raise InvalidInput("There is more than the 20 GB that Kaggle allows.")
                file.write(piece)
        part.replace(path)
        return size

    try:
        size: int = kaggle.ask(save)
        return size
    finally:
        part.unlink(missing_ok=True)


def lines_of(text: str) -> Iterator[str]:
    """Of a log as Kaggle keeps it: a JSON array of pieces, or plain lines."""
    try:
        events = json.loads(text)
    except ValueError:
        yield from text.splitlines()
        return
    pieces = (one.get("data") for one in events if isinstance(one, dict))
    yield from "".join(one for one in pieces if isinstance(one, str)).splitlines()


def _streamed(response: Response) -> Iterator[str]:
    rest = ""
    for raw in response.iter_lines():
        line = raw.decode("utf-8", "replace")
        if not line.startswith("data:"):
            continue
        told = line.removeprefix("data:").strip()
        if told == "END_OF_LOG":
            break
        try:
            rest += json.loads(told).get("data") or ""
        except (ValueError, AttributeError):
            rest += told + "\n"
        *whole, rest = rest.split("\n")
        yield from whole
    else:
        raise KaggleAway("Kaggle cut the log.")
    if rest:
        yield rest


def _inside(folder: Path, name: str) -> Path:
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\\" in name or "\0" in name:
        raise InvalidInput(f"The run left a file named {name!r}, which leads out of its folder.")
    return folder.joinpath(*parts)
