"""The embedder in use, by what the store says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import pytest

from model_pipeline.domain import Embedder
from model_pipeline.errors import ConfigurationError, StoreUnavailable
from model_pipeline.in_use import InUse
from model_pipeline.store.embedders import StoredEmbedder


@dataclass
class Named:
    name: str


OLD = StoredEmbedder("a:1", 8, "a", "active")
NEXT = StoredEmbedder("b:1", 8, "b", "next")
SWITCHED = [
    StoredEmbedder("b:1", 8, "b", "active"),
    StoredEmbedder("a:1", 8, "a", "previous"),
]


class Said:
    """What the store says, and what was opened because of it."""

    def __init__(self, *known: StoredEmbedder) -> None:
        self.known = list(known)
        self.opened: list[str] = []
        self.away = False

    def stored(self) -> list[StoredEmbedder]:
        if self.away:
            raise StoreUnavailable("It is away.")
        return self.known

    def open(self, spec: str) -> Embedder:
        self.opened.append(spec)
        return cast(Any, Named(f"{spec}:1"))


def test_a_switch_that_was_prepared_opens_nothing() -> None:
    said = Said(OLD)
    in_use = InUse(said.stored, said.open, otherwise="z")
    said.known.append(NEXT)
    in_use.prepare()
    assert (in_use.current.name, said.opened) == ("a:1", ["a", "b"])
    said.known = SWITCHED
    assert in_use.follow().name == in_use.current.name == "b:1"
    assert said.opened == ["a", "b"]
    said.known = SWITCHED[:1]  # confirmed: the old one is let go
    in_use.prepare()
    said.known = [OLD]
    in_use.follow()
    assert said.opened == ["a", "b", "a"]


def test_a_store_that_says_nothing_or_is_away() -> None:
    said = Said()
    said.away = True
    in_use = InUse(said.stored, said.open, otherwise="z")
    assert in_use.current.name == "z:1"
    said.away = False
    assert in_use.follow().name == "z:1"
    said.known = [OLD]
    assert in_use.follow().name == "a:1"


def test_a_spec_that_opens_another_model_here() -> None:
    said = Said(StoredEmbedder("a:0", 8, "a", "active"))
    with pytest.raises(ConfigurationError, match="made by a:0, but a is a:1 here"):
        InUse(said.stored, said.open, otherwise="z")
