"""The metrics of an evaluation, put together from what is installed and set."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial

from model_pipeline.domain import Embedder
from model_pipeline.evaluation.citations import citations
from model_pipeline.evaluation.declining import declining
from model_pipeline.evaluation.examples import Pair
from model_pipeline.evaluation.latency import latency
from model_pipeline.evaluation.meaning import meaning
from model_pipeline.evaluation.measured import Measured, Metric
from model_pipeline.evaluation.perplexity import perplexity
from model_pipeline.evaluation.ranking import ranking
from model_pipeline.evaluation.text_metrics import text_metrics
from promptly.settings import Settings
from rag_service.generate.factory import TRANSFORMERS

Tell = Callable[[str, int, int], None]
"""What is being measured, how much of it is done, and of how much."""


def measure(
    pairs: Sequence[Pair],
    settings: Settings,
    embedder: Embedder,
    *,
    model: str | None = None,
    tell: Tell = lambda what, done, of: None,
) -> list[Measured]:
    """By every metric; perplexity where a language model is named. Raises ConfigurationError."""
    metrics: dict[str, Metric] = {
        "text": partial(
            text_metrics,
            processes=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1,
            cache=settings.cache_dir / "text-metrics.sqlite",
            progress=partial(tell, "text"),
        ),
        "meaning": meaning(embedder),
        "ranking": ranking,
        "citations": citations,
        "declining": declining,
        "latency": latency,
    }
    if model is not None:
        metrics["perplexity"] = _perplexity(model, settings, tell)
    found: list[Measured] = []
    for name, metric in metrics.items():
        tell(name, 0, len(pairs))
        found += metric(pairs)
    return found


def _perplexity(spec: str, settings: Settings, tell: Tell) -> Metric:
    from rag_service.generate.transformers_writer import load, parse_weights

    weights, adapter = parse_weights(spec.removeprefix(TRANSFORMERS))
    tokenizer, model = load(weights, adapter, settings.cache_dir / "models")
    return partial(
        perplexity,
        model=model.float(),
        tokenizer=tokenizer,
        name="+".join(one.name for one in (weights, adapter) if one),
        progress=partial(tell, "perplexity"),
    )
