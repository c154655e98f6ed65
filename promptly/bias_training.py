"""Local judges trained on some of the ratings alone, to try them on the others."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

from bias.labels import Labelled
from bias.local.examples import RATED
from bias.local.judge import LocalJudge
from bias.validation import Tell, Train
from bias.verdicts import Judge
from model_pipeline.errors import ConfigurationError


@contextmanager
def trainer(data: Path, *, threads: int, teacher: str | None, tell: Tell) -> Iterator[Train]:
    """As `promptly bias train` does it, with the other data sets of `data`; what is made lasts as
    long as this is open. Raises ConfigurationError without the extra torch."""
    if find_spec("torch") is None or find_spec("transformers") is None:
        raise ConfigurationError(
            "--leave-groups-out trains judges, which needs the extra torch: "
            "`pip install 'promptly-rag[torch]'`."
        )
    from bias.local.training import make

    with TemporaryDirectory() as scratch:

        def train(rows: Sequence[Labelled], seed: int) -> Judge:
            folder = Path(mkdtemp(dir=scratch))
            lay_out(folder, rows, data)
            made = make(folder, folder / "judge.safetensors", seed=seed, teacher=teacher, tell=tell)
            return LocalJudge(cache_dir=folder, threads=threads, model=made.path)

        yield train


def lay_out(folder: Path, rows: Sequence[Labelled], data: Path) -> None:
    """As training reads it: ratings `rows` alone, and what else `data` has."""
    for other in data.iterdir():
        if other.name != RATED.parts[0]:
            (folder / other.name).symlink_to(other.resolve())
    (folder / RATED).parent.mkdir()
    with (folder / RATED).open("w", encoding="utf-8") as file:
        for row in rows:
            assert row.rating is not None
            said = {
                "text": row.text,
                "toxicity_score": 6 - row.rating,
                "target_groups": list(row.groups),
            }
            file.write(json.dumps(said) + "\n")
