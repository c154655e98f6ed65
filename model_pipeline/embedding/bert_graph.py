"""The ONNX graph of a BERT sentence encoder, written straight from its weights, without torch.

Operators are ONNX Runtime's fused ones (embeddings + norm, attention, GELU), so that its
quantiser finds them; mean pooling (Reimers and Gurevych 2019) and the L2 norm are in the graph.

There is no attention mask: texts of one batch have the same length. Nothing is spent on padding,
and attention takes its fast way, which knows no mask. An encoder whose attention goes by distance,
too (MPNet: Song et al. 2020), has what to add in one matrix more, DISTANCES, for as many tokens as
it may read.

Input: input_ids, int32 [batch, tokens].
Output: vectors, float32 [batch, hidden], each of length 1; or states, float32
[batch, tokens, hidden], of the last layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

FUSED = "com.microsoft"
OPSET = 17
# [heads, 2 * most - 1]: what attention adds for a token that is most - 1 before to most - 1 after.
DISTANCES = "encoder.attention_distances"
Weights = Mapping[str, NDArray[np.float32]]


def build(weights: Weights, config: Mapping[str, Any], *, pooled: bool = True) -> onnx.ModelProto:
    """`weights` by their Hugging Face names; `config` is the model's config.json. Not `pooled`, its
    output is the states."""
    graph = _Graph(weights, config)
    hidden = graph.embeddings()
    for layer in range(config["num_hidden_layers"]):
        hidden = graph.layer(hidden, f"encoder.layer.{layer}.")
    if pooled:
        graph.pool(hidden)
        return graph.model("vectors", ["batch"])
    graph.rename(hidden, "states")
    return graph.model("states", ["batch", "tokens"])


def by_place(distances: NDArray[np.float32]) -> NDArray[np.float32]:
    """[heads, most, most], of DISTANCES: what token i adds for token j."""
    most = (distances.shape[1] + 1) // 2
    places = np.arange(most)
    return distances[:, places[None] - places[:, None] + most - 1]


class _Graph:
    def __init__(self, weights: Weights, config: Mapping[str, Any]) -> None:
        self._weights = weights
        self._config = config
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}
        self._added = self._distances() if DISTANCES in weights else ""
        if config["hidden_act"] != "gelu":
            raise ValueError(f"expected the activation gelu, got {config['hidden_act']}")

    def embeddings(self) -> str:
        # Sentences have one segment: its embedding is added to every position's once, here.
        positions = (
            self._weights["embeddings.position_embeddings.weight"]
            + self._weights["embeddings.token_type_embeddings.weight"][0]
        )
        return self._node(
            "EmbedLayerNormalization",
            [
                "input_ids",
                "",
                self._weight("embeddings.word_embeddings.weight"),
                self._constant("positions", positions),
                "",
                *self._norm("embeddings.LayerNorm."),
            ],
            outputs=["embedded", "embedded_mask"],
            epsilon=self._epsilon,
        )

    def layer(self, hidden: str, prefix: str) -> str:
        # Not the fused Attention: its quantised kernel multiplies head by head, which takes longer.
        projected = [
            self._linear(hidden, f"{prefix}attention.self.{name}.")
            for name in ("query", "key", "value")
        ]
        # Neither biases nor a mask, and what is added to the products.
        more = ["", "", self._added] if self._added else []
        attended = self._node(
            "MultiHeadAttention", projected + more, num_heads=self._config["num_attention_heads"]
        )
        attended = self._skip_norm(attended, hidden, prefix + "attention.output.")
        active = self._node("Gelu", [self._linear(attended, prefix + "intermediate.dense.")])
        return self._skip_norm(active, attended, prefix + "output.")

    def pool(self, hidden: str) -> None:
        """The mean over the tokens, at unit length."""
        tokens = self._constant("token_axis", np.array([1], dtype=np.int64))
        # The length of the sum does not matter: what follows makes it one.
        summed = self._node("ReduceSum", [hidden, tokens], domain="", keepdims=0)
        self._node("LpNormalization", [summed], domain="", outputs=["vectors"], axis=-1, p=2)

    def rename(self, value: str, name: str) -> None:
        self._node("Identity", [value], domain="", outputs=[name])

    def model(self, output: str, axes: list[str]) -> onnx.ModelProto:
        ids = ["batch", "tokens"]
        graph = helper.make_graph(
            self._nodes,
            "sentence_encoder",
            [helper.make_tensor_value_info("input_ids", TensorProto.INT32, ids)],
            [
                helper.make_tensor_value_info(
                    output, TensorProto.FLOAT, [*axes, self._config["hidden_size"]]
                )
            ],
            list(self._constants.values()),
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(FUSED, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        # Tells the quantiser that there is nothing to prepare; else it warns on the root logger.
        helper.set_model_props(model, {"onnx.quant.pre_process": "onnxruntime.quant"})
        return model

    def _distances(self) -> str:
        """[1, heads, tokens, tokens], a corner of the same for the most tokens."""
        whole = self._constant("by_distance", by_place(self._weights[DISTANCES])[None])
        shape = self._node("Shape", ["input_ids"], domain="", start=1)
        ends = self._node("Concat", [shape, shape], domain="", axis=0)
        starts = self._constant("corner", np.array([0, 0], dtype=np.int64))
        axes = self._constant("corner_axes", np.array([2, 3], dtype=np.int64))
        return self._node("Slice", [whole, starts, ends, axes], domain="")

    def _skip_norm(self, inner: str, skipped: str, prefix: str) -> str:
        # Not the fused SkipLayerNormalization: its CPU kernel takes twice the time of these two.
        added = self._node("Add", [self._linear(inner, prefix + "dense."), skipped], domain="")
        norm = [added, *self._norm(prefix + "LayerNorm.")]
        return self._node("LayerNormalization", norm, domain="", axis=-1, epsilon=self._epsilon)

    def _linear(self, inputs: str, prefix: str) -> str:
        """x @ W.T + b; the runtime folds the sum into the quantised product."""
        weight = self._constant(prefix + "weight", self._weights[prefix + "weight"].T)
        product = self._node("MatMul", [inputs, weight], domain="")
        return self._node("Add", [product, self._weight(prefix + "bias")], domain="")

    def _node(
        self,
        kind: str,
        inputs: list[str],
        *,
        domain: str = FUSED,
        outputs: list[str] | None = None,
        **attributes: Any,
    ) -> str:
        name = f"{kind}_{len(self._nodes)}"
        names = outputs or [name]
        self._nodes.append(
            helper.make_node(kind, inputs, names, name=name, domain=domain, **attributes)
        )
        return names[0]

    @property
    def _epsilon(self) -> float:
        return float(self._config["layer_norm_eps"])

    def _weight(self, name: str) -> str:
        return self._constant(name, self._weights[name])

    def _norm(self, prefix: str) -> tuple[str, str]:
        return self._weight(prefix + "weight"), self._weight(prefix + "bias")

    def _constant(self, name: str, array: NDArray[Any]) -> str:
        self._constants[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name
