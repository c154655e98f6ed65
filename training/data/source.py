"""Training data where it is needed: in a folder that is attached, as Kaggle mounts its data sets,
or from the database over HTTPS. The first needs the standard library alone."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from model_pipeline.errors import ConfigurationError, InvalidInput, NotFound
from training import manifest
from training.data.files import KIND, require_rows

if TYPE_CHECKING:
    from model_pipeline.store.doors import Door

INPUTS = Path("/kaggle/input")
NEEDS = "`pip install 'promptly-rag[supabase]'`"


def training_data(
    to: Path,
    *,
    inputs: Path = INPUTS,
    dataset_hash: str | None = None,
    url: str | None = None,
    key: str | None = None,
) -> Path:
    """The folder with train.jsonl and validation.jsonl: what is attached below `inputs`; else, with
    the other three (the hash, and the project's address and secret key), what `promptly train data
    --keep` left in the database, written to `to`. Raises InvalidInput where there is neither or it
    is not as it was made, NotFound."""
    found = attached(inputs, dataset_hash)
    if found is not None:
        return found
    if not (dataset_hash and url and key):
        raise InvalidInput(
            f"There is no training data below {inputs}: attach it, or give its hash, the project's "
            "address and its secret key."
        )
    try:
        from model_pipeline.store.doors import SupabaseDoor
        from model_pipeline.store.supabase_api import open_client
    except ImportError as error:
        raise ConfigurationError(f"Over HTTPS training data needs more: {NEEDS}.") from error
    with open_client(url, key) as client:
        return over_https(SupabaseDoor(client), dataset_hash, to)


def attached(inputs: Path, dataset_hash: str | None = None) -> Path | None:
    """The one folder of training data at any depth below `inputs`, however it is mounted; None
    where there is none. Raises InvalidInput for several, or one that is not as it was made."""
    found = [path for path in _folders(inputs) if _is_of(path, dataset_hash)]
    if len(found) > 1:
        names = ", ".join(str(path) for path in found)
        raise InvalidInput(f"There is more than one folder of training data: {names}.")
    for path in found:
        require_rows(path)
    return found[0] if found else None


def over_https(door: Door, dataset_hash: str, to: Path) -> Path:
    """Its files in `to`, whole or not at all. Raises NotFound, InvalidInput, Unavailable."""
    from model_pipeline.load_data import Wanted, export

    with tempfile.TemporaryDirectory() as scratch:
        loaded = export(door, Wanted("training", dataset_hash=dataset_hash), Path(scratch, "load"))
        part = Path(scratch, "data")
        part.mkdir()
        _write(loaded.shards, part)
        if not (part / manifest.NAME).exists():
            raise NotFound(
                f"The database does not hold all of the training data {dataset_hash[:12]}: "
                "`promptly train data --keep` puts it there."
            )
        require_rows(part)
        shutil.copytree(part, to, dirs_exist_ok=True)
    return to


def _folders(inputs: Path) -> Iterator[Path]:
    for path in sorted(inputs.rglob(manifest.NAME)):
        try:
            if manifest.read(path.parent).get("kind") == KIND:
                yield path.parent
        except InvalidInput:
            continue  # somebody else's manifest


def _is_of(folder: Path, dataset_hash: str | None) -> bool:
    return dataset_hash is None or manifest.read(folder).get("hash") == dataset_hash


def _write(shards: Sequence[Path], folder: Path) -> None:
    """Lines to files, in the order of their keys."""
    import pyarrow.parquet as pq

    for shard in shards:
        with pq.ParquetFile(shard) as file:
            for batch in file.iter_batches(batch_size=1_000, columns=["file", "line"]):
                for row in batch.to_pylist():
                    path = folder / Path(row["file"]).name
                    with path.open("a", encoding="utf-8", newline="\n") as target:
                        target.write(row["line"])
