"""The lower layers of a larger encoder, as the judge holds them: by the names of BERT's parameters,
and with a row of the embeddings for each word of the embedder's vocabulary, so that a text is cut
into tokens once. Needs the extra `torch`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from bias.local.encoder import MAX_TOKENS
from bias.local.weights import Array
from model_pipeline.embedding.bert_graph import DISTANCES
from model_pipeline.errors import InvalidInput

KINDS = ("bert", "mpnet")
# MPNet's names and BERT's.
NAMES = {
    "attention.attn.q.": "attention.self.query.",
    "attention.attn.k.": "attention.self.key.",
    "attention.attn.v.": "attention.self.value.",
    "attention.attn.o.": "attention.output.dense.",
    "attention.LayerNorm.": "attention.output.LayerNorm.",
}
SPECIAL = {"[CLS]": "cls", "[SEP]": "sep", "[PAD]": "pad", "[UNK]": "unk", "[MASK]": "mask"}
SETTINGS = ("hidden_size", "hidden_act", "layer_norm_eps", "num_attention_heads")


def require(model: str, layers: int) -> None:
    """Raises InvalidInput where `lower_layers` of `model` cannot be had."""
    from transformers import AutoConfig

    try:
        config: Any = AutoConfig.from_pretrained(model)
    except (OSError, ValueError) as error:
        raise unloadable(model, error) from error
    if config.model_type not in KINDS or config.num_hidden_layers < layers:
        raise InvalidInput(
            f"The teacher {model} is a {config.model_type} of {config.num_hidden_layers} layers, "
            f"and the judge reads by a BERT or an MPNet of {layers} or more: name one, such as "
            "sentence-transformers/all-mpnet-base-v2."
        )


def unloadable(model: str, error: Exception) -> InvalidInput:
    return InvalidInput(
        f"The teacher {model} cannot be loaded ({error}): name a folder or a repository of an "
        "encoder, such as sentence-transformers/all-mpnet-base-v2."
    )


def lower_layers(
    model: str, vocabulary: Mapping[str, int], layers: int
) -> tuple[dict[str, Array], dict[str, Any]]:
    """Weights and a config. `model` is a folder or a Hub repository of a BERT or an MPNet. Raises
    InvalidInput where it is another."""
    from transformers import AutoModel, AutoTokenizer

    require(model, layers)
    loaded: Any = AutoModel.from_pretrained(model).eval()
    config = loaded.config
    found: dict[str, Array] = {}
    for name, value in loaded.state_dict().items():
        layer = re.match(r"encoder\.layer\.(\d+)\.", name)
        if layer and int(layer[1]) < layers:
            found[_by_bert(name)] = value.numpy()
    words, places = (
        loaded.get_parameter(f"embeddings.{kind}_embeddings.weight").detach().numpy()
        for kind in ("word", "position")
    )
    found["embeddings.word_embeddings.weight"] = words[_rows(model, AutoTokenizer, vocabulary)]
    # MPNet's places begin after that of padding.
    first = config.pad_token_id + 1 if config.model_type == "mpnet" else 0
    found["embeddings.position_embeddings.weight"] = places[first : first + MAX_TOKENS]
    for part in ("weight", "bias"):
        norm = f"embeddings.LayerNorm.{part}"
        found[norm] = loaded.get_parameter(norm).detach().numpy()
    kinds = np.zeros((1, config.hidden_size), dtype=np.float32)
    if config.model_type == "bert":
        kinds = loaded.embeddings.token_type_embeddings.weight.detach().numpy()[:1]
    else:
        found[DISTANCES] = _distances(loaded)
    found["embeddings.token_type_embeddings.weight"] = kinds
    settings = {name: getattr(config, name) for name in SETTINGS} | {"num_hidden_layers": layers}
    return {name: np.ascontiguousarray(one) for name, one in found.items()}, settings


def _by_bert(name: str) -> str:
    for theirs, ours in NAMES.items():
        if theirs in name:
            return name.replace(theirs, ours)
    return name


def _rows(model: str, loader: Any, vocabulary: Mapping[str, int]) -> list[int]:
    """Of the model's embeddings, by the embedder's ids; a word that it does not know is unknown."""
    tokenizer = loader.from_pretrained(model)
    theirs = tokenizer.get_vocab()
    special = {ours: getattr(tokenizer, f"{kind}_token_id") for ours, kind in SPECIAL.items()}
    ordered = sorted(vocabulary, key=lambda word: vocabulary[word])
    return [
        special[word] if special.get(word) is not None else theirs.get(word, special["[UNK]"])
        for word in ordered
    ]


@torch.no_grad()
def _distances(loaded: Any) -> Array:
    """[heads, 2 * MAX_TOKENS - 1], from a token MAX_TOKENS - 1 before to one as far after."""
    whole = loaded.encoder.compute_position_bias(torch.zeros(1, MAX_TOKENS, 1))[0].numpy()
    before, after = whole[:, -1, :-1], whole[:, 0, :]
    found: Array = np.concatenate([before, after], axis=1)
    return found
