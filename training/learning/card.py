"""The model card of what a fine-tune left: what is known before it is scored and published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NAME = "README.md"
SHOWN = ("rouge_l_f1", "bleu_4", "length_ratio")


def card(facts: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    """Markdown; `facts` are the manifest's, `metrics` those of metrics.json."""
    training, examples, session = metrics["training"], metrics["examples"], metrics["session"]
    config = facts["config"]
    revision = f" at `{facts['base_revision']}`" if facts["base_revision"] else ""
    rows = [
        ("Base", f"`{facts['base_model']}`{revision}"),
        ("Training data", f"`{facts['dataset_hash'][:16]}`: {examples['train']:,} examples, "
         f"{examples['validation']:,} for validation, {examples['left_out']:,} too long"),
        ("Method", f"{config['method']}, rank {config['rank']}, alpha {config['alpha']}, loss of "
         "the answers alone"),
        ("Steps", f"{training['steps']:,} of {training['of_steps']:,}, {training['epochs']:.2f} "
         f"epochs: {training['ended']}"),
        ("Loss", f"{training['first_loss']:.4f} to {training['last_loss']:.4f}"),
        ("Validation loss", f"{_number(training['validation_loss_before'])} to "
         f"{_number(training['validation_loss'])}"),
        ("Computed on", f"{', '.join(metrics['devices'])}, {metrics['precision']}, "
         f"{_number(session['tokens_per_s'])} tokens/s, seed {facts['seed']}"),
    ]  # fmt: skip
    table = "\n".join(f"| {name} | {said} |" for name, said in rows)
    return (
        "# A fine-tuned language model\n\n"
        "It answers questions from passages that it is shown, with their numbers in brackets. It\n"
        "was not scored for release yet, and nothing is known of how fair it is.\n\n"
        f"| | |\n|---|---|\n{table}\n{_generation(metrics.get('generation', {}))}"
    )


def _generation(found: Mapping[str, Any]) -> str:
    if not found.get("answered") or "unscored" in found:
        return ""
    rows = "".join(
        f"| {name} | {_number(found['before'][name])} | {_number(found['after'][name])} |\n"
        for name in SHOWN
    )
    return (
        f"\n{found['answered']:,} validation examples answered:\n\n"
        f"| | before | after |\n|---|---|---|\n{rows}"
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.4g}"
