"""What a fine-tune needs installed, by what the project's own wheel says."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, requires, version

EXTRA = "finetune"


def missing(distribution: str = "promptly-rag") -> list[str]:
    """Requirements that are not met here, as pip takes them."""
    from packaging.requirements import Requirement

    wanted = [Requirement(one) for one in requires(distribution) or []]
    return [
        f"{one.name}{one.specifier}"
        for one in wanted
        if one.marker is not None
        and one.marker.evaluate({"extra": EXTRA})
        and not one.marker.evaluate({"extra": ""})
        and not _met(one.name, str(one.specifier))
    ]


def _met(name: str, specifier: str) -> bool:
    from packaging.specifiers import SpecifierSet

    try:
        return SpecifierSet(specifier).contains(version(name), prereleases=True)
    except PackageNotFoundError:
        return False
