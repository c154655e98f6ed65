"""What making training data takes: processor time for each row, and memory as rows grow tenfold.

    python -m benchmarks.training_data [--rows 10000 100000]

Documents, questions, near-duplicates, the split, the prompt that the service sends and the files
are the real ones; what a search finds is made up on the spot, so that neither a database nor an
embedder is in the figures. Each size has a process of its own.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import NAMESPACE_URL, uuid5

from model_pipeline.domain import Passage, Turn
from model_pipeline.material import StoredPassage
from promptly.training_data import FinetunedReader
from rag_service.generate.prompt import Prompt, plain
from training.config import FinetuneConfig
from training.data.make import Material, Wanted, make
from training.data.rows import Asking, Message, Tools

NUMBER = re.compile(r"\d+")
WORDS = "amber basin cedar delta ember fjord grove haven inlet jetty knoll lagoon marsh".split()
FILL = "Nothing else is known of it, and nobody has asked so far. "


def content(number: int) -> str:
    """About a thousand characters, of which a rule makes one question."""
    about = [WORDS[number // 13**place % 13] for place in range(5)]
    name, kind = " ".join(about[:2]), " ".join(about[2:])
    said = f"The {name} {number} is a machine that costs {7 * number + 3} coins in {kind}."
    return f"{said}\n\n{FILL * 15}\n"


def stored(many: int) -> Iterator[StoredPassage]:
    for number in range(many):
        yield StoredPassage(f"c{number % 3}", f"{number}.md", content(number))


def found(asking: Asking) -> list[Passage]:
    """The document whose number stands in the question, and those after it."""
    number = int(NUMBER.findall(asking.question)[-1])
    return [
        Passage(
            uuid5(NAMESPACE_URL, str(n)), uuid5(NAMESPACE_URL, str(n)), f"{n}.md", f"Device {n}",
            (), content(n), {}, 0, 0.1,
        )
        for n in range(number, number + asking.k)
    ]  # fmt: skip


def tools() -> Tools:
    prompt, reader = Prompt(), FinetunedReader(FinetuneConfig())

    def messages(
        question: str, passages: Sequence[Passage], history: Sequence[Turn]
    ) -> tuple[list[Message], int]:
        said, room = prompt.messages(question, passages, history, reader)
        return [{"role": one.role, "content": one.content} for one in said], room

    return Tools(
        find=lambda wanted: [found(one) for one in wanted],
        prompt=messages,
        cite=lambda question, answer, passages: None,
        plain=plain,
        declines="This is not in the documents.",
        name=prompt.name,
    )


def one(rows: int) -> None:
    with TemporaryDirectory() as folder:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started = time.process_time()
        material = Material(stored(2 * rows), (), ())
        made = make(material, tools(), Wanted(n=rows), Path(folder, "data"))
        spent = time.process_time() - started
        size = sum(path.stat().st_size for path in made.folder.iterdir())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    figures = {
        "rows": made.counts.rows(),
        "file_mb": size / 1e6,
        "cpu_ms_a_row": 1000 * spent / made.counts.rows(),
        "memory_mb": (peak - before) / 1024,
    }
    print(json.dumps(figures))


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    options.add_argument("--one", type=int)
    given = options.parse_args()
    if given.one:
        one(given.one)
        return
    print("| rows | files, MB | processor time a row, ms | memory beside the start's, MB |")
    print("| --: | --: | --: | --: |")
    for rows in given.rows:
        command = [sys.executable, "-m", "benchmarks.training_data", "--one", str(rows)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        told = json.loads(done.stdout)
        print(
            f"| {told['rows']:,} | {told['file_mb']:,.0f} | {told['cpu_ms_a_row']:.1f} "
            f"| {told['memory_mb']:,.0f} |"
        )


if __name__ == "__main__":
    main()
