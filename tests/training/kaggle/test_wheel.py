"""The project's wheel, built from the checkout and packed again from what was installed of it."""

from __future__ import annotations

import zipfile
from importlib import metadata
from pathlib import Path

from training.kaggle.wheel import _packed, build_wheel


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if "RECORD" not in name}


def test_the_same_code_makes_the_same_bytes(tmp_path: Path) -> None:
    places = [tmp_path / name for name in "ab"]
    for place in places:
        place.mkdir()
    first, second = map(build_wheel, places)
    assert first.read_bytes() == second.read_bytes() and first.name == second.name
    assert {"training/finetune.py", "model_pipeline/store/migrations/20261121001400_runs.sql"} < (
        contents(first).keys()
    )


def test_what_is_installed_is_packed_again(tmp_path: Path) -> None:
    wheel = build_wheel(tmp_path)
    place = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place)
    [info] = place.glob("*.dist-info")
    for name in ("INSTALLER", "direct_url.json"):  # as pip leaves them
        (info / name).write_text("{}")
    (tmp_path / "packed").mkdir()
    again = _packed(metadata.Distribution.at(info), tmp_path / "packed")
    assert again.name == wheel.name and contents(again) == contents(wheel)
    with zipfile.ZipFile(again) as archive:
        record = archive.read(f"{info.name}/RECORD").decode().splitlines()
    assert len(record) == len(contents(again)) + 1 and record[-1].endswith("RECORD,,")
