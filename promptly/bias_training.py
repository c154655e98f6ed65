"""Local judges trained on some of the ratings alone, to try them on the others."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

from bias.labels import Labelled
from bias.local.examples import RATED, WRITTEN, plain, probes, rated
from bias.local.judge import LocalJudge
from bias.validation import Tell, Train
from bias.verdicts import Judge
from model_pipeline.errors import ConfigurationError


@contextmanager
def trainer(
    data: Path, *, cache_dir: Path, threads: int, teacher: str | None, tell: Tell
) -> Iterator[Train]:
    """As `promptly bias train` does it, with the other data sets of `data`. What was made of the
    same before is in `cache_dir`, and not made again; a judge lasts as long as this is open. Raises
    ConfigurationError without the extra torch."""
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
            kept = made_once(
                cache_dir / "left-out" / f"{key_of(folder, seed, teacher)}.safetensors",
                lambda out: make(folder, out, seed=seed, teacher=teacher, tell=tell),
            )
            return LocalJudge(cache_dir=folder, threads=threads, model=kept)

        yield train


def made_once(path: Path, make: Callable[[Path], object]) -> Path:
    """`path`, which `make` is to write where it is missing. A kill leaves nothing there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=path.parent) as scratch:
            make(Path(scratch) / path.name)
            (Path(scratch) / path.name).replace(path)
    return path


def key_of(data: Path, seed: int, teacher: str | None) -> str:
    """Stands for all that decides what training makes of `data`: the texts, the steps."""
    texts = [rated(data, "train"), rated(data, "calibration"), plain(data, seed), probes(data)]
    found = hashlib.sha256(repr((texts, seed, teacher)).encode("utf-8", "replace"))
    for path in (*sorted(WRITTEN.parent.glob("*.py")), WRITTEN):
        found.update(path.read_bytes())
    return found.hexdigest()[:16]


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
