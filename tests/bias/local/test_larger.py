from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from bias.local.encoder import MAX_TOKENS
from model_pipeline.embedding.bert_graph import build
from model_pipeline.errors import InvalidInput

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
from bias.local.larger import lower_layers  # noqa: E402
from bias.local.network import states  # noqa: E402

OURS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "mosque", "opens", "quokka"]
SHAPE = {
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
# Each with words of its own order, and without one that the embedder has.
MPNET = ["<s>", "<pad>", "</s>", "<unk>", "opens", "[UNK]", "mosque", "the", "<mask>"]
BERT = ["[PAD]", "the", "[CLS]", "[SEP]", "[UNK]", "[MASK]", "opens", "mosque"]


def make(folder: Path, kind: str) -> Any:
    """Drawn weights; large ones, so that nothing is nearly right by chance."""
    words = MPNET if kind == "mpnet" else BERT
    torch.manual_seed(0)
    if kind == "mpnet":
        config = transformers.MPNetConfig(**SHAPE, vocab_size=len(words), pad_token_id=1)
        model = transformers.MPNetModel(config)
    else:
        config = transformers.BertConfig(**SHAPE, vocab_size=len(words))
        model = transformers.BertModel(config)
    for weights in model.parameters():
        weights.data = torch.randn_like(weights) * 0.3
    model.eval().save_pretrained(folder)
    tokenizer = transformers.MPNetTokenizer if kind == "mpnet" else transformers.BertTokenizer
    tokenizer(vocab={word: at for at, word in enumerate(words)}).save_pretrained(folder)
    return model


@pytest.mark.parametrize("kind", ["mpnet", "bert"])
def test_the_lower_layers_say_what_the_model_says_there(kind: str, tmp_path: Path) -> None:
    model = make(tmp_path, kind)
    weights, config = lower_layers(str(tmp_path), {word: at for at, word in enumerate(OURS)}, 2)
    ours = [2, 5, 6, 7, 8, 6, 3]  # the mosque opens quokka mosque
    theirs = {"mpnet": [0, 7, 6, 4, 5, 6, 2], "bert": [2, 1, 7, 6, 4, 7, 3]}[kind]
    with torch.no_grad():
        said = model(input_ids=torch.tensor([theirs]), output_hidden_states=True)
    expected = said.hidden_states[2][0].numpy()
    graph = ort.InferenceSession(build(weights, config, pooled=False).SerializeToString())
    (found,) = graph.run(["states"], {"input_ids": np.array([ours], dtype=np.int32)})
    assert found[0] == pytest.approx(expected, abs=1e-4)
    taught = states(weights, config, [ours], upto=2)[0].float().numpy()
    assert taught == pytest.approx(expected, abs=0.1)  # in 16 bits


def test_as_many_tokens_as_are_read_fit(tmp_path: Path) -> None:
    model = make(tmp_path, "mpnet")
    weights, config = lower_layers(str(tmp_path), {word: at for at, word in enumerate(OURS)}, 2)
    graph = ort.InferenceSession(build(weights, config, pooled=False).SerializeToString())
    ids = np.full((1, MAX_TOKENS), 6, dtype=np.int32)
    (found,) = graph.run(["states"], {"input_ids": ids})
    with torch.no_grad():
        said = model(input_ids=torch.full((1, MAX_TOKENS), 6), output_hidden_states=True)
    assert found[0] == pytest.approx(said.hidden_states[2][0].numpy(), abs=1e-4)


def test_what_it_cannot_be_made_of_is_refused(tmp_path: Path) -> None:
    make(tmp_path / "small", "bert")
    with pytest.raises(InvalidInput, match=r"is a bert of 3 layers, and the judge reads by a BERT"):
        lower_layers(str(tmp_path / "small"), {}, 6)
    config = transformers.DistilBertConfig(dim=64, n_layers=6, n_heads=4, vocab_size=9)
    transformers.DistilBertModel(config).save_pretrained(tmp_path / "other")
    with pytest.raises(InvalidInput, match="is a distilbert of 6 layers"):
        lower_layers(str(tmp_path / "other"), {}, 6)


def test_training_says_so_before_it_reads_anything(tmp_path: Path) -> None:
    from bias.local.training import make as train

    def tell(*_: object) -> None:
        raise AssertionError

    for name, said in (("small", "is a bert of 3 layers"), ("none", "none cannot be loaded")):
        if name == "small":
            make(tmp_path / name, "bert")
        with pytest.raises(InvalidInput, match=said):
            train(tmp_path, tmp_path / "out", seed=0, teacher=str(tmp_path / name), tell=tell)
