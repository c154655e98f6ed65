"""A larger model that the judge learns from. It is read as it is, and a kernel ridge regression on
its middle states says what the level of a text is: also of many rewordings, which no person rated.
Needs the extra `torch`; the judge itself does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bias.local.larger import unloadable

Numbers = NDArray[np.float64]
Tell = Callable[[int, int], None]
# By leaving one text of the training part out at a time: of twelve layers the eighth to the tenth
# agree with people the most, and this width and this ridge.
LAYERS = (8 / 12, 9 / 12, 10 / 12)
WIDTH, RIDGE = 0.8, 0.3
MAX_TOKENS = 96
AT_ONCE = 32


class Teacher:
    def __init__(self, model: str) -> None:
        """`model` is a folder or a Hub repository of a BERT-like encoder. Raises InvalidInput where
        it cannot be loaded."""
        from transformers import AutoModel, AutoTokenizer

        try:
            self._tokenizer = AutoTokenizer.from_pretrained(model)
            self._model: Any = AutoModel.from_pretrained(model).eval()
        except (OSError, ValueError) as error:
            raise unloadable(model, error) from error
        count = self._model.config.num_hidden_layers
        self._layers = [round(share * count) for share in LAYERS]
        self._model.encoder.layer = self._model.encoder.layer[: max(self._layers)]
        self._known = self._coefficients = np.empty((0, 0))
        self._mean = self._scale = np.empty(0)
        self._middle = 0.0

    def learn(
        self, texts: Sequence[str], levels: Numbers, weights: Numbers, *, tell: Tell
    ) -> Numbers:
        """What it says of each of `texts` having learnt all the others."""
        read = self._read(texts, tell)
        self._mean = read.mean(0)
        self._scale = np.maximum(read.std(0), 1e-9) * np.sqrt(read.shape[1])
        self._known = (read - self._mean) / self._scale
        self._middle = float(np.average(levels, weights=weights))
        inverse = np.linalg.inv(kernel(self._known, self._known) + np.diag(RIDGE / weights))
        self._coefficients = inverse @ (levels - self._middle)
        return np.asarray(levels - self._coefficients / np.diag(inverse))

    def levels(self, texts: Sequence[str], *, tell: Tell) -> Numbers:
        read = (self._read(texts, tell) - self._mean) / self._scale
        return np.asarray(kernel(read, self._known) @ self._coefficients + self._middle)

    @torch.inference_mode()
    def _read(self, texts: Sequence[str], tell: Tell) -> Numbers:
        """[texts, layers * hidden], the means over each text's tokens."""
        encoded = self._tokenizer(list(texts), truncation=True, max_length=MAX_TOKENS)
        ids: list[list[int]] = encoded["input_ids"]
        order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
        found = np.empty((len(ids), len(self._layers) * self._model.config.hidden_size))
        for first in range(0, len(order), AT_ONCE):
            batch = order[first : first + AT_ONCE]
            given = self._tokenizer.pad({"input_ids": [ids[i] for i in batch]}, return_tensors="pt")
            with torch.autocast("cpu", torch.bfloat16):
                states = self._model(**given, output_hidden_states=True).hidden_states
            mask = given["attention_mask"][..., None].float()
            means = [(states[at].float() * mask).sum(1) / mask.sum(1) for at in self._layers]
            found[batch] = torch.cat(means, dim=1).numpy()
            tell(first + len(batch), len(order))
        return found


def kernel(a: Numbers, b: Numbers) -> Numbers:
    """[a, b], Gaussian."""
    distances = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    return np.asarray(np.exp(-WIDTH * np.maximum(distances, 0.0)))
