"""Whole answers of a model in this process, of which the beginning and what may follow it are
given."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import structlog

from model_pipeline.domain import AS_RELEASED
from model_pipeline.errors import ModelUnavailable
from rag_service.generate.told import Told
from rag_service.generate.transformers_writer import TransformersWriter, said_of
from rag_service.generate.writer import Message

log = structlog.get_logger()


class TransformersTeller(TransformersWriter):
    async def tell(
        self, messages: Sequence[Message], beginning: str, choices: Sequence[str]
    ) -> Told:
        """An answer that begins with `beginning` and goes on with the likeliest of `choices`, each
        one token and each a whole word of the vocabulary (a digit behind a quotation mark); then as
        the model likes, at temperature 0. Raises ModelUnavailable."""
        prompt = self._prompt(messages) + beginning
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(
                self._executor, self._tell_now, prompt, beginning, choices
            )
        except Exception as error:
            log.warning("model_unavailable", model=self.name, error=repr(error)[:500])
            raise ModelUnavailable(said_of(error)) from error.with_traceback(None)

    def _tell_now(self, prompt: str, beginning: str, choices: Sequence[str]) -> Told:
        import torch

        tokenizer, model = self._tokenizer, self._model
        # The last token of a choice alone: some tokenizers put a space before it.
        places = [tokenizer(one, add_special_tokens=False)["input_ids"][-1] for one in choices]
        ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")["input_ids"]
        ids = ids.to(model.device)
        with torch.inference_mode():
            scores = model(input_ids=ids, use_cache=True, logits_to_keep=1)
            chances = scores.logits[0, -1].float().log_softmax(-1)[places].tolist()
            best = max(range(len(choices)), key=lambda n: (chances[n], -n))
            ids = torch.cat([ids, torch.tensor([[places[best]]], device=model.device)], dim=1)
            rest = self._rest(ids, scores.past_key_values)
        likely = dict(zip(choices, chances, strict=True))
        text = beginning + choices[best] + rest
        return Told(text, ((beginning, {}), (choices[best], likely), (rest, {})))

    def _rest(self, ids: Any, past: Any) -> str:
        """What the model says behind `ids` [1, n], of which `past` has read all but the last."""
        ends = self._model.generation_config.eos_token_id or self._tokenizer.eos_token_id
        found = self._model.generate(
            input_ids=ids,
            attention_mask=ids.new_ones(ids.shape),
            past_key_values=past,
            generation_config=self._configured(AS_RELEASED, ends),
        )
        said = found[0, ids.shape[1] :].tolist()
        return str(self._tokenizer.decode(said, skip_special_tokens=True))
