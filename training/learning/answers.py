"""What the model answers to validation examples, before and after, and how near that is."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import Any

from training.learning.examples import Encoded, Example
from training.learning.progress import Progress, Tell


@dataclass(frozen=True, slots=True)
class Answered:
    """One validation example; `question` is the last turn's."""

    example_id: str
    question: str
    reference: str
    before: str
    after: str

    def to_row(self) -> dict[str, str]:
        return asdict(self)


def answer(
    model: Any,
    tokenizer: Any,
    examples: Sequence[Example],
    encoded: Sequence[Encoded],
    *,
    batch: int,
    max_new_tokens: int,
    autocast: Any,
    until: float | None,
    tell: Tell,
) -> list[Answered]:
    """By the base, its adapter switched off, and by what it became; in the order of the examples.
    Those for which there is no time (`until`, of time.monotonic()) are left out."""
    model.eval()
    places = sorted(range(len(examples)), key=lambda one: encoded[one].prompt, reverse=True)
    found: dict[int, Answered] = {}
    for start in range(0, len(places), batch):
        if until is not None and time.monotonic() >= until:
            break
        together = places[start : start + batch]
        prompts = [encoded[one].ids[: encoded[one].prompt] for one in together]
        said = []
        for adapter in (model.disable_adapter(), nullcontext()):
            with adapter, autocast:
                said.append(_generate(model, tokenizer, prompts, max_new_tokens))
        for one, before, after in zip(together, *said, strict=True):
            example = examples[one]
            found[one] = Answered(
                example.example_id, example.prompt[-1]["content"], example.completion, before, after
            )
        tell(Progress("answering", len(found), len(examples)))
    return [found[one] for one in sorted(found)]


def _generate(
    model: Any, tokenizer: Any, prompts: Sequence[Sequence[int]], max_new_tokens: int
) -> list[str]:
    """Greedily, as a service answers."""
    import torch
    from transformers import GenerationConfig

    configured: Any = GenerationConfig
    longest = max(map(len, prompts))
    padded = [[tokenizer.pad_token_id] * (longest - len(one)) + list(one) for one in prompts]
    mask = [[0] * (longest - len(one)) + [1] * len(one) for one in prompts]
    with torch.no_grad():
        written = model.generate(
            input_ids=torch.tensor(padded, device=model.device),
            attention_mask=torch.tensor(mask, device=model.device),
            generation_config=configured(
                do_sample=False,
                max_new_tokens=max_new_tokens,
                eos_token_id=model.generation_config.eos_token_id or tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            ),
        )
    said = written[:, longest:].tolist()
    return [str(one).strip() for one in tokenizer.batch_decode(said, skip_special_tokens=True)]


def scores(answered: Sequence[Answered]) -> dict[str, Any]:
    """BLEU, ROUGE and length of the answers `before` and `after`; or `unscored`, why not: where the
    training alone was installed, what scores may be missing."""
    try:
        from model_pipeline.evaluation.examples import Example as Asked
        from model_pipeline.evaluation.examples import Pair, Prediction
        from model_pipeline.evaluation.text_metrics import text_metrics

        found: dict[str, Any] = {"answered": len(answered)}
        for when in ("before", "after"):
            pairs = [
                Pair(
                    Asked(one.example_id, one.question, references=(one.reference,)),
                    Prediction(one.example_id, getattr(one, when)),
                )
                for one in answered
            ]
            found[when] = {one.name: _finite(one.figure()) for one in text_metrics(pairs)}
    except ImportError as error:
        return {"answered": len(answered), "unscored": f"{error.name} is not installed."}
    return found


def _finite(figure: float) -> float | None:
    return figure if math.isfinite(figure) else None
