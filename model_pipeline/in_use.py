"""The embedder in use: the store's active one, as that changes while a program runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from model_pipeline.domain import Embedder
from model_pipeline.errors import ConfigurationError, Unavailable
from model_pipeline.store.embedders import StoredEmbedder


class InUse:
    """Thread-safe. `stored` reads what the store says, `open_embedder` opens a spec; `otherwise` is
    opened for a store that says nothing, or does not answer yet."""

    def __init__(
        self,
        stored: Callable[[], Sequence[StoredEmbedder]],
        open_embedder: Callable[[str], Embedder],
        *,
        otherwise: str,
    ) -> None:
        self._stored = stored
        self._open = open_embedder
        self._opened: dict[str, Embedder] = {}
        self._lock = threading.Lock()
        self.current = self._first(otherwise)

    def follow(self) -> Embedder:
        """The embedder that is active now, which becomes the current one. Raises StoreUnavailable,
        ConfigurationError where it cannot be opened."""
        with self._lock:
            return self._follow(self._stored())

    def prepare(self) -> None:
        """The same, and have the standby opened too, so that a switch takes no time; forget the
        others. Raises as `follow` does, for the standby too."""
        with self._lock:
            known = self._stored()
            self._follow(known)
            for one in known:
                self._by(one)
            names = {one.name for one in known} | {self.current.name}
            self._opened = {name: one for name, one in self._opened.items() if name in names}

    def _follow(self, known: Sequence[StoredEmbedder]) -> Embedder:
        for one in known:
            if one.state == "active":
                self.current = self._by(one)
        return self.current

    def _by(self, stored: StoredEmbedder) -> Embedder:
        if stored.name not in self._opened:
            opened = self._open(stored.spec)
            require_same(opened, stored)
            self._opened[stored.name] = opened
        return self._opened[stored.name]

    def _first(self, otherwise: str) -> Embedder:
        try:
            known = [one for one in self._stored() if one.state == "active"]
        except Unavailable:
            known = []
        if known:
            return self._by(known[0])
        opened = self._open(otherwise)
        self._opened[opened.name] = opened
        return opened


def require_same(opened: Embedder, stored: StoredEmbedder) -> None:
    """Raises ConfigurationError where the spec opens another model here than it did there."""
    if opened.name != stored.name:
        raise ConfigurationError(
            f"The stored vectors were made by {stored.name}, but {stored.spec} is {opened.name} "
            f"here: install that version, or switch with `promptly reembed --model {stored.spec}`."
        )
