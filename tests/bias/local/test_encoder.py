from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bias.local.encoder import DOUBT, Encoder, base, config
from bias.local.ordinal import Ordinal
from bias.local.weights import Closer, Weights, load, save
from model_pipeline.embedding import weights as embedder

NOTHING = np.zeros(384, dtype=np.float32)
FOLDER = embedder.model_folder()


def made(folder: Path, first: float, closer: float | None) -> Encoder:
    """Of readers that say the same number of every text."""
    weights = Weights(
        changes={},
        head=NOTHING,
        offset=first,
        ordinal=Ordinal(np.array([1.0, 5.0]), np.zeros((4, 2))),
        exponent=1.0,
        sure=0.0,
        spread=0.0,
        closer=None
        if closer is None
        else Closer(
            {name: one for name, one in base(FOLDER).items() if _of_the_first_layer(name)},
            config(FOLDER) | {"num_hidden_layers": 1},
            NOTHING,
            closer,
        ),
    )
    save(folder / "judge", weights, about={})
    return Encoder(load(folder / "judge"), cache_dir=folder, threads=1)


def _of_the_first_layer(name: str) -> bool:
    return name.startswith(("embeddings.", "encoder.layer.0."))


@pytest.mark.parametrize(
    ("first", "closer", "said"),
    [
        (DOUBT - 0.1, 1.25, 1.25),
        (DOUBT + 0.1, 1.25, DOUBT + 0.1),
        (DOUBT - 0.1, None, DOUBT - 0.1),
    ],
)
def test_what_is_low_is_read_closer(
    first: float, closer: float | None, said: float, tmp_path: Path
) -> None:
    encoder = made(tmp_path, first, closer)
    for one in encoder.read(["The mosque opens at nine.", "You stupid bot."]):
        assert one.raw == pytest.approx(said)
        assert len(one.parts) == len(one.places)


def test_graphs_are_made_once(tmp_path: Path) -> None:
    made(tmp_path, 3.0, 1.25)
    graphs = {path: path.stat().st_mtime_ns for path in (tmp_path / "bias").glob("*.onnx")}
    assert len(graphs) == 2
    Encoder(load(tmp_path / "judge"), cache_dir=tmp_path, threads=1)
    assert {path: path.stat().st_mtime_ns for path in graphs} == graphs
