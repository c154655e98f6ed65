"""Perplexity and bits per byte of answers under a causal language model of transformers.

perplexity     exp(nats / tokens): 1 (the model foresaw every token) to infinity; best 1
bits_per_byte  nats / ln 2 / UTF-8 bytes: 0 to infinity, best 0; comparable between models whose
               tokenisers differ, which perplexity is not

Nats are summed over all answers before they are divided (Jelinek et al. 1977): a long answer weighs
by its tokens. What is scored is the answer's text alone, without question, passages, template or
end token, after one start token (the tokeniser's bos; its eos where it has none): so every token of
the text is foreseen from something, and each is scored exactly once. A text beyond the window is
read in windows that advance by the stride; each scores what none before it scored, so that no token
but the first ones has less than window - stride tokens before it.

Known limits: fluent nonsense and empty phrases are foreseen best (low is not good by itself);
citation marks like [1] count as text; a tokeniser that changes text before it cuts it (lower case)
scores the changed one. An answer that is empty, too long or not to be written in the model's tokens
is a named failure; a declined one says nothing of its own and is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from model_pipeline.errors import InvalidInput
from model_pipeline.evaluation.examples import Pair
from model_pipeline.evaluation.measured import Figures, Measured, ratio

if TYPE_CHECKING:
    import torch

MAX_CHARACTERS = 100_000
WINDOW = 1024  # tokens, the start token among them; less where the model reads less
MAX_LOGITS = 2**28  # of one batch: 1 GiB in float32
EMPTY = "the answer is empty"
TOO_LONG = f"longer than {MAX_CHARACTERS:,} characters"
NO_TEXT = "its characters are not valid Unicode"
UNKNOWN = "the model's tokeniser does not know some of its characters"
NOT_FINITE = "the model's loss is not a finite number"

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Window:
    """Tokens `ids` of the text `text` (its index) of which the last `scored` are scored."""

    text: int
    ids: tuple[int, ...]
    scored: int


def perplexity(
    pairs: Sequence[Pair],
    *,
    model: Any,
    tokenizer: Any,
    name: str,
    window: int | None = None,
    batch: int = 8,
    progress: Progress = lambda done, of: None,
) -> list[Measured]:
    """`model` and `tokenizer` are loaded, the model in float32; `name` pins them (a repository and
    its commit). The stride is half the `window` (tokens). `batch` is how many windows are read at
    once; `progress` is told the windows done and all. Raises InvalidInput for a model that has no
    token to start with."""
    has_bos = tokenizer.bos_token_id is not None
    start = tokenizer.bos_token_id if has_bos else tokenizer.eos_token_id
    if start is None:
        raise InvalidInput(
            f"{name} has neither a start nor an end token, so that nothing foresees an answer's "
            "first token: measure perplexity by another model."
        )
    read = min(window or WINDOW, _context(model, tokenizer))
    failures: dict[int, str] = {}
    tokens, size = np.zeros(len(pairs)), np.zeros(len(pairs))
    windows: list[Window] = []
    for index, pair in enumerate(pairs):
        if pair.prediction.declined:
            continue
        found = _tokens(pair.prediction.answer, tokenizer)
        if isinstance(found, str):
            failures[index] = found
            continue
        tokens[index], size[index] = len(found), len(pair.prediction.answer.encode())
        windows.extend(_windows(index, (start, *found), read, read // 2))
    nats = np.zeros(len(pairs))
    for one, loss in _losses(model, windows, batch, progress):
        nats[one.text] += loss
    failures.update(dict.fromkeys(np.flatnonzero(~np.isfinite(nats)).tolist(), NOT_FINITE))
    scored = (tokens > 0) & np.isfinite(nats)
    signature = (
        f"model={name}|dtype={str(model.dtype).removeprefix('torch.')}|of=the answer's text"
        f"|window={read}|stride={read // 2}|start={'bos' if has_bos else 'eos'}|v1"
    )

    def measured(name: str, per: NDArray[np.float64], best: float) -> Measured:
        statistics = np.where(scored[:, None], np.column_stack([nats, per]), 0.0)
        formula = FORMULAS[name]
        signed = f"{name}|{signature}"
        return Measured(name, signed, statistics, scored, formula, best, math.inf, failures)

    return [measured("perplexity", tokens, 1.0), measured("bits_per_byte", size, 0.0)]


def exp_ratio(sums: NDArray[np.float64]) -> Figures:
    """[b, 2] nats and tokens to perplexity [b]."""
    with np.errstate(over="ignore"):
        return np.exp(ratio(sums))


def bits(sums: NDArray[np.float64]) -> Figures:
    """[b, 2] nats and bytes to bits per byte [b]."""
    return ratio(sums) / math.log(2)


FORMULAS: dict[str, Callable[[NDArray[np.float64]], Figures]] = {
    "perplexity": exp_ratio,
    "bits_per_byte": bits,
}


def _tokens(text: str, tokenizer: Any) -> list[int] | str:
    """Of the text as it stands, or why it has none. A name of a special token in it is text."""
    if not text:
        return EMPTY
    if len(text) > MAX_CHARACTERS:
        return TOO_LONG
    try:
        text.encode()
    except UnicodeEncodeError:
        return NO_TEXT
    ids: list[int] = tokenizer(
        text, add_special_tokens=False, split_special_tokens=True, verbose=False
    )["input_ids"]
    if not ids:
        return EMPTY
    return UNKNOWN if tokenizer.unk_token_id in ids else ids


def _windows(text: int, ids: tuple[int, ...], window: int, stride: int) -> Iterator[Window]:
    """The start token leads the first window alone and is never scored."""
    done = 1
    for first in range(0, len(ids), stride):
        last = min(first + window, len(ids))
        yield Window(text, ids[first:last], last - done)
        done = last
        if last == len(ids):
            return


def _losses(
    model: Any, windows: Sequence[Window], batch: int, progress: Progress
) -> Iterator[tuple[Window, float]]:
    """Of each window the nats of what it scores."""
    import torch

    done = 0
    with torch.inference_mode():
        for together in batches(windows, batch, model.config.get_text_config().vocab_size):
            yield from zip(together, _batch_losses(model, together), strict=True)
            done += len(together)
            progress(done, len(windows))


def batches(windows: Sequence[Window], batch: int, vocabulary: int) -> Iterator[list[Window]]:
    """Of like length, so that little is padded; the longest first, so that memory that does not
    suffice is told at once."""
    waiting = sorted(windows, key=lambda one: len(one.ids), reverse=True)
    while waiting:
        fitting = MAX_LOGITS // (len(waiting[0].ids) * vocabulary)
        size = max(1, min(batch, fitting))
        yield waiting[:size]
        del waiting[:size]


def _batch_losses(model: Any, windows: Sequence[Window]) -> list[float]:
    import torch

    longest = len(windows[0].ids)
    ids = torch.zeros((len(windows), longest), dtype=torch.long)
    labels = torch.full((len(windows), longest), -100)  # what cross_entropy leaves out
    for row, one in enumerate(windows):
        length = len(one.ids)
        ids[row, :length] = torch.tensor(one.ids)
        labels[row, length - one.scored : length] = ids[row, length - one.scored : length]
    mask = torch.arange(longest) < torch.tensor([len(one.ids) for one in windows])[:, None]
    device = model.device
    logits = model(input_ids=ids.to(device), attention_mask=mask.long().to(device)).logits
    return [
        _nats(row[:-1], wanted[1:].to(device)) for row, wanted in zip(logits, labels, strict=True)
    ]


def _nats(logits: torch.Tensor, wanted: torch.Tensor) -> float:
    """The logits at each place foresee the token after it."""
    from torch.nn.functional import cross_entropy

    losses = cross_entropy(logits.float(), wanted, reduction="none", ignore_index=-100)
    return float(losses.double().sum())


def _context(model: Any, tokenizer: Any) -> int:
    limits = [
        getattr(model.config.get_text_config(), "max_position_embeddings", None),
        tokenizer.model_max_length,
    ]
    return min(int(one) for one in (*limits, WINDOW) if one)
