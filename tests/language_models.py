"""Tiny language models, made on the spot: a Llama that was taught one answer, and an adapter."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
START, END, PAD = "<|im_start|>", "<|im_end|>", "<|pad|>"
HIDDEN = 64


def make_language_model(
    folder: Path, *, says: str, context_tokens: int = 2048, template: str | None = TEMPLATE
) -> Path:
    """A model that answers anything with `says`, as transformers keeps them."""
    import torch

    torch.set_num_threads(1)  # so small that more would wait for each other
    tokenizer = make_tokenizer(says, context_tokens, template)
    model = _taught(tokenizer, says, context_tokens)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_base_model(folder: Path, *, reads: str, context_tokens: int = 512) -> Path:
    """A model that was taught nothing yet, with a tokenizer made of `reads`."""
    import torch

    torch.set_num_threads(1)
    tokenizer = make_tokenizer(reads, context_tokens)
    torch.manual_seed(0)
    model = _untaught(tokenizer, context_tokens)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def random_language_model(text: str, *, context_tokens: int = 2048) -> tuple[Any, Any]:
    """A tokenizer that is made of `text`, and a model with random weights: large ones, so that each
    token that it read changes what it foresees."""
    import torch

    torch.set_num_threads(1)
    tokenizer = make_tokenizer(text, context_tokens, None)
    torch.manual_seed(0)
    return tokenizer, _untaught(tokenizer, context_tokens, initializer_range=0.3).eval()


def make_adapter(model: Path, folder: Path) -> Path:
    """A LoRA adapter with random weights, wide enough to change what the model says."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    base: Any = AutoModelForCausalLM.from_pretrained(model)
    changed = ["q_proj", "v_proj", "down_proj"]
    config = LoraConfig(r=4, target_modules=changed, task_type="CAUSAL_LM")
    attached: Any = get_peft_model(base, config)
    for name, weights in attached.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weights, std=1.0)
    attached.save_pretrained(folder)
    return folder


def make_tokenizer(says: str, context_tokens: int, template: str | None = TEMPLATE) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(
        [says] * 8,
        trainers.BpeTrainer(
            vocab_size=600,
            special_tokens=[PAD, START, END],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[START],
        chat_template=template,
        model_max_length=context_tokens,
    )


def _taught(tokenizer: Any, says: str, context_tokens: int) -> Any:
    """After any beginning it goes on with `says`, and ends."""
    import torch

    torch.manual_seed(0)
    rng = random.Random(0)
    model = _untaught(tokenizer, context_tokens)
    answer = tokenizer(says + END, add_special_tokens=False)["input_ids"]
    lead = tokenizer(f"{START}assistant\n", add_special_tokens=False)["input_ids"]
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(300):
        rows = []
        for _ in range(8):
            before = [rng.randrange(3, len(tokenizer)) for _ in range(24)]
            rows.append(before + lead + answer)
        ids = torch.tensor(rows)
        labels = ids.clone()
        labels[:, : len(rows[0]) - len(answer)] = -100
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if loss.item() < 0.02:
            break
    return model.eval()


def _untaught(tokenizer: Any, context_tokens: int, **config: Any) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    model: Any = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=HIDDEN,
            intermediate_size=2 * HIDDEN,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=context_tokens,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            **config,
        )
    )
    return model
