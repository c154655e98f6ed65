from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from model_pipeline.errors import InvalidInput
from training import manifest


@pytest.fixture
def made(tmp_path: Path) -> Path:
    folder = tmp_path / "made"
    (folder / "adapter").mkdir(parents=True)
    (folder / "adapter" / "adapter_model.safetensors").write_bytes(b"weights")
    (folder / "metrics.json").write_text("{}")
    manifest.write(folder, {"base_model": "a/b", "seed": 0})
    return folder


def rewrite(folder: Path, **changed: Any) -> None:
    path = folder / manifest.NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


def test_it_has_every_file_and_the_facts(made: Path) -> None:
    found = manifest.read(made)
    assert found["format"] == 1 and found["base_model"] == "a/b"
    assert found["files"] == {
        "adapter/adapter_model.safetensors": {
            "sha256": "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c",
            "bytes": 7,
        },
        "metrics.json": {
            "sha256": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
            "bytes": 2,
        },
    }
    assert manifest.verify(made) == []


def test_writing_it_again_gives_the_same_bytes(made: Path) -> None:
    before = (made / manifest.NAME).read_bytes()
    manifest.write(made, {"seed": 0, "base_model": "a/b"})
    assert (made / manifest.NAME).read_bytes() == before


def test_one_changed_byte_is_found(made: Path) -> None:
    (made / "adapter" / "adapter_model.safetensors").write_bytes(b"weighty")
    assert manifest.verify(made) == [
        "adapter/adapter_model.safetensors is not what was written: its hash differs."
    ]


def test_a_cut_a_missing_and_a_strange_file_are_found(made: Path) -> None:
    (made / "adapter" / "adapter_model.safetensors").write_bytes(b"weigh")
    (made / "metrics.json").unlink()
    (made / "adapter" / "more.bin").write_bytes(b"")
    assert manifest.verify(made) == [
        "adapter/adapter_model.safetensors has 5 bytes and not 7.",
        "metrics.json is missing.",
        "adapter/more.bin is not in the manifest.",
    ]


def test_a_folder_without_one_did_not_end(tmp_path: Path) -> None:
    assert manifest.verify(tmp_path) == [
        f"{tmp_path} has no manifest.json: what made it did not end."
    ]


@pytest.mark.parametrize(
    "name", ["../metrics.json", "/etc/passwd", "a/../../b", "C:\\x", "a\\..\\b", "./a", "", "a//b"]
)
def test_a_path_that_leads_out_is_refused(made: Path, name: str) -> None:
    rewrite(made, files={name: {"sha256": "0" * 64, "bytes": 1}})
    (fault,) = manifest.verify(made)
    assert fault.endswith(f"names {name!r}, which is not a file below it.")


def test_a_link_to_outside_is_refused(made: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.json"
    outside.write_text("{}")
    (made / "metrics.json").unlink()
    (made / "metrics.json").symlink_to(outside)
    assert manifest.verify(made) == ["metrics.json is a link to outside."]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not JSON."),
        ("[]", "is no manifest of format 1."),
        ('{"format": 2, "files": {}}', "is no manifest of format 1."),
        ('{"format": 1, "files": {}}', "names no files."),
        (
            '{"format": 1, "files": {"a": {"sha256": "x"}}}',
            "does not say the sha256 and the bytes of 'a'.",
        ),
        ("[" * 100_000, "is not JSON."),
    ],
)
def test_what_is_no_manifest_is_told_in_one_sentence(
    tmp_path: Path, content: str, said: str
) -> None:
    path = tmp_path / manifest.NAME
    path.write_text(content)
    with pytest.raises(InvalidInput) as raised:
        manifest.read(tmp_path)
    assert raised.value.message == f"{path} {said}"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes to be in a folder")
def test_what_is_not_a_file_is_not_waited_for(made: Path) -> None:
    os.mkfifo(made / "pipe")
    assert manifest.verify(made) == []
