"""Makes the local judge's file: learns, calibrates on texts it did not learn from, and saves. Needs
the extra `torch`; the same data, seed and machine give the same file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import numpy as np
from torch import Tensor

from bias.agreement import levels_of
from bias.local import examples, ordinal
from bias.local.encoder import Encoder, as_read, base, config, tokenizer
from bias.local.examples import Example
from bias.local.judge import raw_scores
from bias.local.larger import lower_layers, require
from bias.local.network import HALF, MIDDLE, Network, states, train
from bias.local.teacher import Teacher
from bias.local.weights import Array, Closer, Weights, load, packed_and_back, save
from model_pipeline.embedding import weights as embedder

Tell = Callable[[str, int, int], None]
# Layers below stay as they were, the embedder's and the closer reader's; and how fast the others
# learn.
FIRST, RATE = 2, 1e-4
CLOSER_FIRST, CLOSER_RATE = 3, 5e-5
CLOSER_LAYERS = 6
EPOCHS = 3
VIEWS = 2  # times that each text is reworded
REWORDED = 0.5  # the weight of a reworded text, of its text's
RATER_SHARE = 0.5  # of a rated text's target; the rest is the teacher's
# Where the data has no fair sentences to probe with.
FAIR = ["The office opens at nine on weekdays.", "She sent the letter to her brother on Monday."]


@dataclass(frozen=True, slots=True)
class Trained:
    """What was made, and what calibration saw of it: texts of the calibration part."""

    path: Path
    bytes: int
    signature: str
    learnt: int
    calibrated: int
    coverage: float


def make(data: Path, out: Path, *, seed: int, teacher: str | None, tell: Tell) -> Trained:
    """Raises InvalidInput where `data` has no ratings or the teacher cannot be loaded."""
    if teacher:
        require(teacher, CLOSER_LAYERS)
    held = examples.rated(data, "calibration")
    learnt = examples.rated(data, "train") + examples.written(seed) + examples.plain(data, seed)
    learnt = [replace(one, text=as_read(one.text)) for one in learnt]
    if teacher:
        learnt = _taught(learnt, teacher, seed, tell)
    else:
        learnt += examples.swaps(learnt, seed) + examples.spelled(learnt, seed)
    raw = _learn(learnt, seed, tell)
    if teacher:
        raw = replace(raw, closer=_closer(teacher, learnt, seed, tell))
    about = {"seed": str(seed), "teacher": Path(teacher).name if teacher else ""}
    made, coverage = calibrated(raw, held, examples.probes(data) or FAIR, about=about)
    out.parent.mkdir(parents=True, exist_ok=True)
    save(out, made, about=about)
    return Trained(out, out.stat().st_size, load(out).signature, len(learnt), len(held), coverage)


def calibrated(
    raw: Weights, held: list[Example], fair: list[str], *, about: dict[str, str]
) -> tuple[Weights, float]:
    """`raw` with what it says of `held` made probabilities, by the graph that will judge; and the
    share of them it is sure of. `fair` are single fair sentences."""
    with TemporaryDirectory() as scratch:
        draft = Path(scratch) / "draft.safetensors"
        save(draft, raw, about=about)
        encoder = Encoder(load(draft), cache_dir=Path(scratch), threads=1)
        spread = ordinal.spread([one.raw for one in encoder.read(fair)])
        numbers = np.array(raw_scores(encoder, spread, [one.text for one in held]))
    levels = levels_of([one.level for one in held])
    fitted = ordinal.fit(numbers, levels)
    foretold = fitted.probabilities(numbers)
    sure, coverage = ordinal.least_sure(foretold, levels)
    exponent = ordinal.most_agreeing(foretold, levels)
    return replace(raw, ordinal=fitted, exponent=exponent, sure=sure, spread=spread), coverage


def _taught(learnt: list[Example], model: str, seed: int, tell: Tell) -> list[Example]:
    """`learnt`, with the teacher's word on them, and rewordings with the teacher's word alone."""
    teacher = Teacher(model)
    held_out = teacher.learn(
        [one.text for one in learnt],
        np.array([one.level for one in learnt]),
        np.array([one.weight for one in learnt]),
        tell=lambda done, of: tell("reading for the teacher", done, of),
    )
    mixed = [
        replace(one, level=RATER_SHARE * one.level + (1 - RATER_SHARE) * float(said))
        for one, said in zip(learnt, held_out, strict=True)
    ]
    random = Random(seed)  # noqa: S311
    others = {
        text: one
        for one in learnt
        if one.source != "plain"
        for _ in range(VIEWS)
        for text in examples.reworded(one.text, random)
        if text != one.text
    }
    said = teacher.levels(list(others), tell=lambda done, of: tell("asking the teacher", done, of))
    return (
        mixed
        + examples.spelled(mixed, seed)
        + [
            replace(one, text=text, level=float(level), weight=one.weight * REWORDED)
            for (text, one), level in zip(others.items(), said, strict=True)
        ]
    )


def _learn(learnt: list[Example], seed: int, tell: Tell) -> Weights:
    """Not calibrated yet."""
    folder = embedder.model_folder()
    own = base(folder)
    network = Network(own, config(folder), FIRST)
    read = states(own, config(folder), _tokens(learnt), FIRST)
    head, offset = _taught_to(
        network, read, learnt, RATE, seed, lambda done, of: tell("learning", done, of)
    )
    changes = {name: value - own[name] for name, value in network.parameters_by_name().items()}
    nothing = ordinal.Ordinal(np.array([1.0, 5.0]), np.zeros((4, 2)))
    return Weights(changes, head, offset, nothing, exponent=1.0, sure=0.0, spread=0.0)


def _closer(model: str, learnt: list[Example], seed: int, tell: Tell) -> Closer:
    """The lower layers of `model`, the upper ones of them taught."""
    vocabulary = tokenizer(embedder.model_folder()).get_vocab()
    found, settings = lower_layers(model, vocabulary, CLOSER_LAYERS)
    # What stays is rounded first, so that what learns makes up for it.
    own = {name: packed_and_back(array) for name, array in found.items()}
    read = states(own, settings, _tokens(learnt), CLOSER_FIRST)
    network = Network(found, settings, CLOSER_FIRST, rounded=True)
    head, offset = _taught_to(
        network, read, learnt, CLOSER_RATE, seed, lambda done, of: tell("reading closer", done, of)
    )
    return Closer(own | network.parameters_by_name(), settings, head, offset)


def _tokens(learnt: list[Example]) -> list[list[int]]:
    encoded = tokenizer(embedder.model_folder()).encode_batch([one.text for one in learnt])
    return [one.ids for one in encoded]


def _taught_to(
    network: Network,
    read: Sequence[Tensor],
    learnt: list[Example],
    rate: float,
    seed: int,
    tell: Callable[[int, int], None],
) -> tuple[Array, float]:
    """The head of `network`, which has learnt, for levels; and its offset."""
    train(
        network,
        read,
        np.array([one.level for one in learnt], dtype=np.float32),
        np.array([one.weight for one in learnt], dtype=np.float32),
        epochs=EPOCHS,
        rate=rate,
        seed=seed,
        tell=tell,
    )
    head: Array = network.head.weight.detach().numpy()[0] * HALF
    return head, float(network.head.bias.detach()) * HALF + MIDDLE
