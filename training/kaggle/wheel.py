"""The project's wheel, which goes to Kaggle with the training data: there is no checkout there."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from importlib import metadata
from pathlib import Path

from model_pipeline.errors import ConfigurationError

NAME = "promptly-rag"
CHECKOUT = Path(__file__).resolve().parents[2]
EPOCH = (1980, 1, 1, 0, 0, 0)  # the same files make the same wheel


def build_wheel(folder: Path) -> Path:
    """Of the checkout that this runs from, else of what is installed. The same code makes the same
    bytes. Raises ConfigurationError."""
    if (CHECKOUT / "pyproject.toml").is_file():
        return _built(folder)
    return _packed(metadata.distribution(NAME), folder)


def _built(folder: Path) -> Path:
    try:
        from hatchling.builders.wheel import WheelBuilder
    except ImportError as error:
        raise ConfigurationError(
            "A checkout's wheel is built by hatchling, which is not installed: `pip install "
            "hatchling`."
        ) from error
    builder = WheelBuilder(str(CHECKOUT))
    [path] = builder.build(directory=str(folder.absolute()), versions=["standard"])
    return Path(path)


def _packed(installed: metadata.Distribution, folder: Path) -> Path:
    """What was installed from a wheel, as one again."""
    version = installed.version
    info = f"{NAME.replace('-', '_')}-{version}.dist-info"
    named = {
        str(path): Path(str(path.locate()))
        for path in installed.files or []
        if path.suffix != ".pyc" and ".." not in path.parts
    }
    left = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
    files = {
        name: path.read_bytes()
        for name, path in sorted(named.items())
        if name not in {f"{info}/{one}" for one in left} and path.is_file()
    }
    record = "".join(
        f"{name},{_digest(content)},{len(content)}\n" for name, content in files.items()
    )
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    wheel = folder / f"{NAME.replace('-', '_')}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, EPOCH), content, zipfile.ZIP_DEFLATED)
    return wheel


def _digest(content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
    return f"sha256={digest.decode()}"
