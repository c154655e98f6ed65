from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from model_pipeline.embedding.onnx_embedder import OnnxEmbedder
from model_pipeline.evaluation.vectors import AT_ONCE, KeptVectors

TEXTS = [
    "The Danube ends in the Black Sea.",
    " ".join(f"Note {n} says that water boils at a lower temperature up here." for n in range(9)),
    " ".join(f"Note {n} says that honey keeps for years since it is dry, so." for n in range(9)),
    "",
    "\ud800 lone",
]


class Counting:
    """The default embedder, and how many texts it was given at each call."""

    def __init__(self, embedder: OnnxEmbedder, dies_after: int = 10**9) -> None:
        self.calls: list[int] = []
        self._embedder = embedder
        self._dies_after = dies_after

    def __getattr__(self, name: str) -> object:
        return getattr(self._embedder, name)

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        self.calls.append(len(texts))
        if sum(self.calls) > self._dies_after:
            raise KeyboardInterrupt
        return self._embedder.embed(texts)


def test_a_vector_does_not_depend_on_what_else_is_embedded(embedder: OnnxEmbedder) -> None:
    kept = KeptVectors(embedder, cache=None, alone=True, threads=2)
    together = kept.embed([*TEXTS, TEXTS[1]])
    assert [row.tobytes() for row in together[: len(TEXTS)]] == [
        kept.embed([text])[0].tobytes() for text in TEXTS
    ]
    assert together[-1].tobytes() == together[1].tobytes()
    assert np.allclose(together, embedder.embed([*TEXTS, TEXTS[1]]), atol=0.06)
    assert kept.embed([]).shape == (0, embedder.dimensions)


@pytest.mark.parametrize("alone", [True, False])
def test_nothing_is_embedded_twice(embedder: OnnxEmbedder, tmp_path: Path, alone: bool) -> None:
    first, second = Counting(embedder), Counting(embedder)
    cache = tmp_path / "vectors.sqlite"
    made = KeptVectors(first, cache=cache, alone=alone).embed([*TEXTS, TEXTS[0]])
    assert first.calls == ([1] * len(TEXTS) if alone else [len(TEXTS)])
    again = KeptVectors(second, cache=cache, alone=alone).embed([TEXTS[0], *TEXTS])
    assert second.calls == []
    assert again[1:].tobytes() == made[:-1].tobytes()


def test_a_run_that_is_killed_goes_on_where_it_was(embedder: OnnxEmbedder, tmp_path: Path) -> None:
    texts = [f"Fact {n}." for n in range(AT_ONCE + 20)]
    cache = tmp_path / "vectors.sqlite"
    dying, going_on = Counting(embedder, dies_after=AT_ONCE + 5), Counting(embedder)
    steps: list[tuple[int, int]] = []
    with pytest.raises(KeyboardInterrupt):
        KeptVectors(dying, cache=cache, alone=True).embed(texts)
    KeptVectors(
        going_on, cache=cache, alone=True, progress=lambda done, of: steps.append((done, of))
    ).embed(texts)
    assert sum(going_on.calls) == 20
    assert steps == [(AT_ONCE, AT_ONCE + 20), (AT_ONCE + 20, AT_ONCE + 20)]
