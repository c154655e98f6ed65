"""An encoder in torch, as far as training needs it: the upper layers learn, those below are read
once for each text. Needs the extra `torch`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from bias.local.weights import GROUP, MOST
from model_pipeline.embedding.bert_graph import DISTANCES, by_place

MIDDLE, HALF = 3.5, 1.5  # targets are learnt as (level - MIDDLE) / HALF
DROPOUT = 0.1
BATCH = 16
HEAD_RATE = 2e-3
WARM = 0.1  # of the steps
DECAY = 0.01
Array = NDArray[np.float32]


class Layer(nn.Module):
    """A BERT layer whose parameters are named as in the embedder's file. `rounded`, it computes
    with its matrices in the whole numbers that a file will hold, and learns through the rounding
    (straight-through: Bengio et al. 2013)."""

    def __init__(
        self, base: Mapping[str, Array], prefix: str, config: Mapping[str, Any], *, rounded: bool
    ) -> None:
        super().__init__()
        self.heads, self.epsilon = config["num_attention_heads"], config["layer_norm_eps"]
        self.rounded = rounded
        self.own = nn.ParameterDict(
            {
                name.removeprefix(prefix).replace(".", "/"): nn.Parameter(torch.tensor(array))
                for name, array in base.items()
                if name.startswith(prefix)
            }
        )

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x [batch, tokens, hidden]; mask as `attention_mask` makes it."""
        shape = (*x.shape[:2], self.heads, x.shape[2] // self.heads)
        q, k, v = (
            self._linear(f"attention/self/{name}", x).view(shape).transpose(1, 2)
            for name in ("query", "key", "value")
        )
        seen = mask if mask.dtype is torch.bool else mask.to(q.dtype)
        attended = functional.scaled_dot_product_attention(
            q, k, v, attn_mask=seen, dropout_p=DROPOUT if self.training else 0.0
        )
        joined = attended.transpose(1, 2).reshape(x.shape)
        x = self._norm("attention/output", self._linear("attention/output/dense", joined), x)
        inner = functional.gelu(self._linear("intermediate/dense", x))
        return self._norm("output", self._linear("output/dense", inner), x)

    def _linear(self, name: str, x: Tensor) -> Tensor:
        weight: Tensor = self.own[name + "/weight"]
        if self.rounded:
            weight = weight + (rounded(weight.detach()) - weight.detach())
        return functional.linear(x, weight, self.own[name + "/bias"])

    def _norm(self, name: str, inner: Tensor, skipped: Tensor) -> Tensor:
        x = functional.dropout(inner, DROPOUT, self.training).float() + skipped
        weight, bias = (self.own[f"{name}/LayerNorm/{part}"] for part in ("weight", "bias"))
        return functional.layer_norm(x, x.shape[-1:], weight, bias, self.epsilon)


class Network(nn.Module):
    """Layers from `first` on, and a head on the mean of the last one's states."""

    def __init__(
        self,
        base: Mapping[str, Array],
        config: Mapping[str, Any],
        first: int,
        *,
        rounded: bool = False,
    ) -> None:
        super().__init__()
        self.first = first
        self.layers = nn.ModuleList(
            Layer(base, f"encoder.layer.{at}.", config, rounded=rounded)
            for at in range(first, config["num_hidden_layers"])
        )
        self.added = _by_place(base)
        self.head = nn.Linear(config["hidden_size"], 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """[batch], the level as it is learnt. mask [batch, tokens] is True at tokens."""
        whole = attention_mask(mask, self.added)
        for layer in self.layers:
            x = layer(x, whole)
        share = mask.float() / mask.sum(1, keepdim=True)
        pooled = (x.float() * share[..., None]).sum(1)
        head: Tensor = self.head(functional.dropout(pooled, DROPOUT, self.training))
        return head[:, 0]

    def parameters_by_name(self) -> dict[str, Array]:
        """By the embedder's names."""
        return {
            f"encoder.layer.{self.first + at}.{name.replace('/', '.')}": value.detach().numpy()
            for at, layer in enumerate(self.layers)
            for name, value in cast(Layer, layer).own.items()
        }


@torch.no_grad()
def states(
    base: Mapping[str, Array], config: Mapping[str, Any], ids: Sequence[Sequence[int]], upto: int
) -> list[Tensor]:
    """What layer `upto` reads of each text, [tokens, hidden]."""
    layers = [
        Layer(base, f"encoder.layer.{at}.", config, rounded=False).eval() for at in range(upto)
    ]
    added, epsilon = _by_place(base), config["layer_norm_eps"]
    words, places, kinds = (
        torch.tensor(base[f"embeddings.{name}_embeddings.weight"])
        for name in ("word", "position", "token_type")
    )
    norm = [torch.tensor(base[f"embeddings.LayerNorm.{part}"]) for part in ("weight", "bias")]
    found = []
    for own in ids:
        x = words[list(own)] + places[: len(own)] + kinds[0]
        x = functional.layer_norm(x, x.shape[-1:], norm[0], norm[1], epsilon)[None]
        mask = attention_mask(torch.ones(1, len(own), dtype=torch.bool), added)
        with torch.autocast("cpu", torch.bfloat16):
            for layer in layers:
                x = layer(x, mask)
        found.append(x[0].float())
    return found


def attention_mask(mask: Tensor, added: Tensor | None) -> Tensor:
    """[batch, 1, 1, tokens], True at tokens; with `added` [heads, most, most] for their distances,
    [batch, heads, tokens, tokens], what to add to the products."""
    seen = mask[:, None, None]
    if added is None:
        return seen
    tokens = mask.shape[1]
    return added[None, :, :tokens, :tokens].masked_fill(~seen, -torch.inf)


def rounded(matrix: Tensor) -> Tensor:
    """As `bias.local.weights` packs and unpacks it."""
    groups = matrix.reshape(len(matrix), -1, GROUP)
    scale = (groups.abs().amax(2, keepdim=True) / MOST).half().float()
    whole = (groups / scale.clamp_min(1e-12)).round().clamp(-MOST, MOST)
    return (whole * scale).reshape(matrix.shape)


def _by_place(base: Mapping[str, Array]) -> Tensor | None:
    return torch.tensor(by_place(base[DISTANCES])) if DISTANCES in base else None


def train(
    network: Network,
    read: Sequence[Tensor],
    levels: Array,
    weights: Array,
    *,
    epochs: int,
    rate: float,
    seed: int,
    tell: Callable[[int, int], None],
) -> None:
    """Weighted squares, by AdamW, warmed up and then falling to nothing. `tell` hears how many
    steps of how many are done. The same seed, threads and machine give the same weights."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    head, body = list(network.head.parameters()), list(network.layers.parameters())
    optimizer = torch.optim.AdamW(
        [{"params": body, "lr": rate}, {"params": head, "lr": HEAD_RATE}], weight_decay=DECAY
    )
    steps = epochs * -(-len(read) // BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda at: min((at + 1) / (WARM * steps), (steps - at) / ((1 - WARM) * steps))
    )
    target = torch.tensor((levels - MIDDLE) / HALF, dtype=torch.float32)
    weight = torch.tensor(weights, dtype=torch.float32)
    network.train()
    done = 0
    for _ in range(epochs):
        for batch in shuffled([len(one) for one in read], rng):
            x, mask = _padded([read[index] for index in batch])
            with torch.autocast("cpu", torch.bfloat16):
                found = network(x, mask)
            loss = (weight[batch] * (found.float() - target[batch]) ** 2).mean()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
            done += 1
            tell(done, steps)
    network.eval()


def shuffled(lengths: Sequence[int], rng: np.random.Generator) -> Iterator[list[int]]:
    """Batches in a drawn order; of sixteen drawn batches, texts of about one length go together."""
    order = rng.permutation(len(lengths))
    batches = []
    for first in range(0, len(order), 16 * BATCH):
        near = sorted(order[first : first + 16 * BATCH].tolist(), key=lengths.__getitem__)
        batches += [near[at : at + BATCH] for at in range(0, len(near), BATCH)]
    for index in rng.permutation(len(batches)):
        yield batches[index]


def _padded(read: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    x = nn.utils.rnn.pad_sequence(list(read), batch_first=True)
    mask = torch.arange(x.shape[1])[None] < torch.tensor([len(one) for one in read])[:, None]
    return x, mask
