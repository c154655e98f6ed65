"""What a fine-tune needs installed, by what the project's own wheel says."""

from __future__ import annotations

from collections.abc import Collection
from importlib.metadata import PackageNotFoundError, requires, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from packaging.requirements import Requirement

EXTRA = "finetune"
OVER_HTTPS = frozenset({"httpx", "numpy", "pgvector", "psycopg", "pyarrow", "supabase"})
"""What training.data.source needs where nothing is attached."""


def missing(also: Collection[str] = (), *, distribution: str = "promptly-rag") -> list[str]:
    """Requirements of the extra, and those of these names, that are not met here, as pip takes
    them."""
    from packaging.requirements import Requirement

    wanted = [Requirement(one) for one in requires(distribution) or []]
    unmet = {
        one.name: one
        for one in wanted
        if (one.name in also or _of_the_extra(one)) and not _met(one.name, str(one.specifier))
    }
    for one in unmet.values():
        one.marker = None
    return [str(one) for one in unmet.values()]


def _of_the_extra(one: Requirement) -> bool:
    return (
        one.marker is not None
        and one.marker.evaluate({"extra": EXTRA})
        and not one.marker.evaluate({"extra": ""})
    )


def _met(name: str, specifier: str) -> bool:
    from packaging.specifiers import SpecifierSet

    try:
        return SpecifierSet(specifier).contains(version(name), prereleases=True)
    except PackageNotFoundError:
        return False
