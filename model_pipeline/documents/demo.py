"""The demo documents: the Python language reference that every CPython carries."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from model_pipeline.documents.found import Found

TARGET = "demo:python"


def documents() -> Iterator[Found]:
    """One text per topic, `python/<topic>`; Python Software Foundation License."""
    from pydoc_data.topics import topics

    for topic, text in sorted(topics.items()):
        yield Found(f"python/{topic}", TARGET, "rst", partial(str.encode, text))
