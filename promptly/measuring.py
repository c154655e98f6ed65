"""The metrics of an evaluation, put together from what is installed and set."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from bias.metric import bias
from model_pipeline.domain import Embedder
from model_pipeline.embedding.factory import DEFAULT
from model_pipeline.evaluation.citations import citations
from model_pipeline.evaluation.declining import declining
from model_pipeline.evaluation.examples import Pair
from model_pipeline.evaluation.judge import Progress, judged
from model_pipeline.evaluation.latency import latency
from model_pipeline.evaluation.meaning import meaning
from model_pipeline.evaluation.measured import Measured, Metric
from model_pipeline.evaluation.perplexity import perplexity
from model_pipeline.evaluation.ranking import ranking
from model_pipeline.evaluation.text_metrics import text_metrics
from model_pipeline.evaluation.vectors import KeptVectors
from promptly.bias_judges import local_judge
from promptly.generators import naming
from promptly.judging import Judge
from promptly.settings import Settings
from rag_service.generate.factory import TRANSFORMERS

if TYPE_CHECKING:
    from rag_service.generate.transformers_writer import Weights

PERPLEXITY_MODEL = "--perplexity-model"
Tell = Callable[[str, int, int], None]
"""What is being measured, how much of it is done, and of how much."""


def measure(
    pairs: Sequence[Pair],
    settings: Settings,
    embedder: Embedder,
    *,
    model: str | None = None,
    judge: Judge | None = None,
    fresh: bool = False,
    tell: Tell = lambda what, done, of: None,
) -> list[Measured]:
    """By every metric; perplexity and a judge's grades where their models are named, grades anew
    where `fresh`. Raises ConfigurationError."""
    processes = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    vectors = KeptVectors(
        embedder,
        cache=settings.cache_dir / "vectors.sqlite",
        alone=embedder.spec == DEFAULT,
        threads=processes,
        progress=partial(tell, "meaning"),
    )
    metrics: dict[str, Metric] = {
        "text": partial(
            text_metrics,
            processes=processes,
            cache=settings.cache_dir / "text-metrics.sqlite",
            progress=partial(tell, "text"),
        ),
        "meaning": meaning(vectors),
        "ranking": ranking,
        "citations": citations,
        "declining": declining,
        "latency": latency,
        "bias": bias(local_judge(settings)),
    }
    if model is not None:
        metrics["perplexity"] = _perplexity(model, settings, tell)
    if judge is not None:
        metrics["judge"] = graded(judge, settings, fresh=fresh, progress=partial(tell, "judge"))
    found: list[Measured] = []
    for name, metric in metrics.items():
        tell(name, 0, len(pairs))
        found += metric(pairs)
    return found


def graded(
    judge: Judge,
    settings: Settings,
    *,
    fresh: bool = False,
    progress: Progress = lambda done, of: None,
) -> Metric:
    return judged(
        judge.open,
        judge.name,
        timeout_s=judge.timeout_s,
        cache=settings.cache_dir / "verdicts.sqlite",
        fresh=fresh,
        progress=progress,
    )


def require_weights(spec: str) -> tuple[Weights, Weights | None]:
    """Of --perplexity-model. Raises ConfigurationError."""
    from rag_service.generate.transformers_writer import parse_weights

    with naming(PERPLEXITY_MODEL):
        return parse_weights(spec.removeprefix(TRANSFORMERS))


def _perplexity(spec: str, settings: Settings, tell: Tell) -> Metric:
    from rag_service.generate.transformers_writer import load, weights_name

    weights, adapter = require_weights(spec)
    with naming(PERPLEXITY_MODEL):
        tokenizer, model = load(weights, adapter, settings.cache_dir / "models")
    return partial(
        perplexity,
        model=model.float(),
        tokenizer=tokenizer,
        name=weights_name(weights, adapter),
        progress=partial(tell, "perplexity"),
    )
