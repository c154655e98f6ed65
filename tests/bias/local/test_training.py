from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner

from bias.local import encoder, weights
from bias.local.ordinal import Ordinal, least_sure
from model_pipeline.embedding import weights as embedder
from model_pipeline.errors import InvalidInput
from promptly.cli.app import app

torch = pytest.importorskip("torch")
from bias.local.network import (  # noqa: E402
    HALF,
    MIDDLE,
    Layer,
    Network,
    rounded,
    states,
    train,
)
from bias.local.teacher import kernel  # noqa: E402

TEXTS = ["You stupid bot.", "Good morning!", "They are all thieves.", "She is a deaf lawyer."] * 4
LEVELS = np.array([1.0, 5.0, 1.0, 5.0] * 4, dtype=np.float32)


def learnt(seed: int, *, epochs: int = 3) -> tuple[Network, list[float]]:
    """The last layer, taught TEXTS; and what it then says of the first four."""
    folder = embedder.model_folder()
    base, config = load_file(folder / "model.safetensors"), encoder.config(folder)
    ids = [one.ids for one in encoder.tokenizer(folder).encode_batch(TEXTS)]
    network = Network(base, config, first=5)
    network.eval()
    read = states(base, config, ids, upto=5)
    if epochs:
        train(
            network,
            read,
            LEVELS,
            np.ones(16),
            epochs=epochs,
            rate=1e-4,
            seed=seed,
            tell=lambda *_: None,
        )
    with torch.no_grad():
        said = [network(one[None], torch.ones(1, len(one), dtype=torch.bool)) for one in read[:4]]
    return network, [float(one) * HALF + MIDDLE for one in said]


def test_training_learns_and_the_same_seed_learns_the_same() -> None:
    network, said = learnt(0, epochs=8)
    assert said[0] < said[1]
    assert said[2] < said[3]
    again, _ = learnt(0, epochs=8)
    for name, value in network.parameters_by_name().items():
        assert np.array_equal(value, again.parameters_by_name()[name])
    other, _ = learnt(1, epochs=8)
    assert not np.array_equal(network.head.weight.detach(), other.head.weight.detach())


def test_what_is_judged_with_is_what_was_learnt(tmp_path: Path) -> None:
    """The graph in four and eight bits says what the network in torch said."""
    network, said = learnt(0)
    base = load_file(embedder.model_folder() / "model.safetensors")
    judge = weights.Weights(
        changes={name: own - base[name] for name, own in network.parameters_by_name().items()},
        head=network.head.weight.detach().numpy()[0] * HALF,
        offset=float(network.head.bias.detach()) * HALF + MIDDLE,
        ordinal=Ordinal(np.array([1.0, 5.0]), np.zeros((4, 2))),
        exponent=1.5,
        sure=0.0,
        spread=0.0,
    )
    weights.save(tmp_path / "judge", judge, about={})
    made = encoder.Encoder(weights.load(tmp_path / "judge"), cache_dir=tmp_path, threads=1)
    read = made.read(TEXTS[:4])
    assert [one.raw for one in read] == pytest.approx(said, abs=0.15)
    for one, text in zip(read, TEXTS, strict=False):
        assert one.raw == pytest.approx(float(one.parts.mean()))
        assert max(end for _, end in one.places) == len(encoder.as_read(text))


def test_what_is_rounded_computes_as_a_file_holds_it_and_learns_as_if_it_were_not() -> None:
    matrix = torch.randn(600, 192, generator=torch.manual_seed(0))
    assert np.array_equal(rounded(matrix).numpy(), weights.packed_and_back(matrix.numpy()))
    layer = Layer(
        {"a.weight": matrix.numpy(), "a.bias": np.zeros(600, dtype=np.float32)},
        "",
        {"num_attention_heads": 1, "layer_norm_eps": 1e-12},
        rounded=True,
    )
    x = torch.ones(1, 192)
    said = layer._linear("a", x)
    assert torch.equal(said, x @ rounded(matrix).T)
    said.sum().backward()
    assert torch.equal(layer.own["a/weight"].grad, torch.ones(600, 192))


def test_the_kernel_is_a_gaussian_of_the_distance() -> None:
    points = np.array([[0.0, 0.0], [1.0, 0.0]])
    assert kernel(points, points) == pytest.approx(np.array([[1, np.exp(-0.8)], [np.exp(-0.8), 1]]))


def test_it_is_sure_of_as_many_as_the_risk_allows() -> None:
    right, wrong = [0.0, 0.0, 0.0, 0.1, 0.9], [0.2, 0.0, 0.0, 0.2, 0.6]
    probabilities = np.array([right] * 38 + [wrong] * 4)
    levels = np.array([5] * 38 + [1] * 4)
    sure, coverage = least_sure(probabilities, levels)
    assert coverage == pytest.approx(38 / 42)
    assert sure == pytest.approx(1.0)
    assert least_sure(np.array([right] * 99 + [wrong]), np.array([5] * 100))[1] == 1.0
    assert least_sure(np.array([wrong] * 5), np.array([1] * 5)) == (1.0, 0.0)


def test_without_data_the_command_says_so(tmp_path: Path) -> None:
    made = CliRunner().invoke(app, ["bias", "train", "--data", str(tmp_path)])
    assert isinstance(made.exception, InvalidInput)
    assert "toxigen_human" in made.exception.message
