"""How likely a model in this process finds given continuations, for questions with a few answers to
choose from: nothing is generated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from model_pipeline.errors import InvalidInput
from rag_service.generate.transformers_writer import Weights, context_tokens, load


class Likelihoods:
    """Made in a thread: it loads the model. `name` identifies model and revision."""

    def __init__(self, model: Weights, adapter: Weights | None, cache_dir: Path | None) -> None:
        self._tokenizer, self._model = load(model, adapter, cache_dir)
        self.name = "+".join(one.name for one in (model, adapter) if one)
        self._context_tokens = context_tokens(self._model.config, self._tokenizer)

    def log_likelihoods(self, prompt: str, continuations: Sequence[str]) -> list[float]:
        """Of each continuation after the prompt, in nats, summed over its tokens. Raises
        InvalidInput for a prompt that the model cannot read whole."""
        import torch

        begun, gap = self._begun(prompt)
        before: list[int] = self._tokenizer(begun, add_special_tokens=False)["input_ids"]
        found = []
        for one in continuations:
            after = self._tokenizer(gap + one, add_special_tokens=False)["input_ids"]
            ids = torch.tensor([before + after], device=self._model.device)
            if ids.shape[1] > self._context_tokens:
                raise InvalidInput(
                    f"The question takes {ids.shape[1]} tokens and the model reads "
                    f"{self._context_tokens}."
                )
            with torch.inference_mode():
                logits = self._model(input_ids=ids).logits[0, len(before) - 1 : -1].float()
            nats = torch.log_softmax(logits, -1)[range(len(after)), after]
            found.append(float(nats.double().sum()))
        return found

    def _begun(self, prompt: str) -> tuple[str, str]:
        """The prompt as the model's template has it, and what stands before an answer."""
        if self._tokenizer.chat_template is None:
            return f"{self._tokenizer.bos_token or ''}{prompt}", " "
        turns = [{"role": "user", "content": prompt}]
        begun = self._tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
        return str(begun), ""
