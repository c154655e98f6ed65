"""The local bias judge's speed: texts a second, beside embedding the same texts.

    .venv/bin/python -m benchmarks.bias_judge

Answers of four sentences of FastAPI's documentation, as a service gives them; and the worst there
is, sentences of the ratings' test part, of which most are read twice, and answers of four of those.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from bias.local.examples import prose, rated
from bias.local.judge import LocalJudge
from model_pipeline.embedding.onnx_embedder import open_onnx_embedder

DATA = Path(os.environ.get("PROMPTLY_SHARED_DATA", "../shared/data"))
ROUNDS = 5
THREADS = 2
MAKE = """
import sys
from pathlib import Path
from bias.local.judge import LocalJudge
LocalJudge(cache_dir=Path(sys.argv[1]), threads=int(sys.argv[2]))
"""


def fastest(call: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock and of processors."""
    found = []
    for _ in range(ROUNDS):
        began, worked = time.perf_counter(), time.process_time()
        call()
        found.append((time.perf_counter() - began, time.process_time() - worked))
    return min(found)


def main() -> None:
    sentences = [one.text for one in rated(DATA, "test")]
    worst = [" ".join(f"{one}." for one in sentences[n : n + 4]) for n in range(0, 400, 2)]
    said = [
        text
        for path in sorted((DATA / "fastapi_docs/docs/en/docs").rglob("*.md"))
        for text in prose(path.read_text(encoding="utf-8"))
    ]
    answers = [" ".join(said[n : n + 4]) for n in range(0, 1600, 4)]
    with TemporaryDirectory() as cache:
        # By a process of its own, as once on a machine: making graphs leaves a heap that is slower.
        subprocess.run([sys.executable, "-c", MAKE, cache, str(THREADS)], check=True)
        judge = LocalJudge(cache_dir=Path(cache), threads=THREADS)
        embedder = open_onnx_embedder(cache_dir=Path(cache), threads=THREADS)
        print(f"{THREADS} threads, best of {ROUNDS}; CPU is the time of all processors")
        for name, texts in (
            ("answers", answers),
            ("rated sentences", sentences),
            ("four of those", worst),
        ):
            judged, cpu = fastest(lambda texts=texts: judge.judge(texts))
            embedded, _ = fastest(lambda texts=texts: embedder.embed(texts))
            words = sum(len(text.split()) for text in texts) / len(texts)
            print(
                f"{name:16} {words:5.1f} words  {len(texts) / judged:7.0f} /s  "
                f"{len(texts) / cpu:7.0f} a CPU second  {judged / embedded:4.1f} times embedding"
            )


if __name__ == "__main__":
    main()
