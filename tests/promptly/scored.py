"""Scores answers in a process of its own: TESTSET PREDICTIONS FOLDER."""

import sys
from pathlib import Path

from model_pipeline.embedding.onnx_embedder import open_onnx_embedder
from model_pipeline.evaluation import report, run, scorecard_file, text_metrics
from model_pipeline.evaluation.examples import TestSet
from model_pipeline.evaluation.predictions import read_predictions
from model_pipeline.evaluation.rows import read_examples
from model_pipeline.evaluation.scorecard import score
from promptly.measuring import measure
from promptly.settings import read_settings


def main(test_set: str, predictions: str, folder: str) -> None:
    settings = read_settings()
    examples = TestSet("facts", read_examples(Path(test_set)))
    found, _ = read_predictions(Path(predictions))
    pairs = run.pairs(examples, found)
    embedder = open_onnx_embedder(cache_dir=settings.cache_dir, threads=settings.threads)
    text_metrics.WORTH_PROCESSES = 0  # as many processes as it may have, few as the answers are
    measured = measure(pairs, settings, embedder)
    card = score(examples, pairs, measured, release_id="r", seed=0)
    scorecard_file.write(card, Path(folder) / "scorecard.json")
    for name, text in (("report.html", report.html(card)), ("report.md", report.markdown(card))):
        (Path(folder) / name).write_text(text, "utf-8", newline="\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
