"""What may not leave with a model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from model_pipeline.errors import InvalidInput
from tests.training.hub.finetuned import finetuned
from training.hub import private
from training.hub.files import version_files

SECRETS = [
    "hf_" + "aB3" * 12,
    "KGAT_" + "0f" * 16,
    '{"username":"me","key":"' + "0123456789abcdef" * 2 + '"}',
    "ghp_" + "aB3" * 12,
    "github_pat_" + "aB3_" * 10,
    "sbp_" + "0f" * 20,
    "sb_secret_" + "aB3-" * 10,
    "sk-proj-" + "aB3" * 12,
    "AKIA" + "ABCD2345" * 2,
    "-----BEGIN OPENSSH PRIVATE KEY-----",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJtZSJ9." + "aB3-" * 8,
    "postgresql://me:hunter2@db.example.org:5432/postgres",
]
HARMLESS = [
    "hf_hub_download and sk-learn, an AKIA of letters",
    "https://huggingface.co/someone/base",
    "a learning rate of 1e-4 at step 12:30, ratio 3:4@5",
    "{% for message in messages %}{{ message.role }}{% endfor %}",
    "https://example.org/home/page",
    "someone/base",
    "and/or, /v1/answers",
]
PATHS = {
    "/home/me/models/base": "base",
    "/Users/me/My Models/base": "base",
    "/kaggle/input/base/1": "1",
    "/var/x": "x",
    "/root/.cache/huggingface/hub/models--a--b": "models--a--b",
    r"C:\Users\me\base": "base",
    "C:\\\\Users\\\\me\\\\base": "base",
    "file:///workspace/base": "base",
}


@pytest.mark.parametrize("secret", SECRETS)
def test_secrets_are_found_and_their_line_told(secret: str) -> None:
    found = private.secret(f"one\ntwo {secret} three")
    assert found is not None
    assert found[1] == 2


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_looks_like_it_is_none(text: str) -> None:
    assert private.secret(text) is None
    assert private.path(text) is None


@pytest.mark.parametrize("path", PATHS)
def test_paths_are_found_and_taken_out(path: str) -> None:
    assert private.path(f'one\n"{path}"') == 2
    assert private.without_paths({"at": [f"in {path}"]}) == {"at": [f"in {PATHS[path]}"]}


@pytest.mark.parametrize("name", ["adapter_config.json", "chat_template.jinja", "metrics.json"])
@pytest.mark.parametrize("secret", SECRETS[:2])
def test_a_secret_in_any_file_ends_it(tmp_path: Path, name: str, secret: str) -> None:
    place = name if name == "metrics.json" else f"adapter/{name}"
    folder = finetuned(tmp_path, extra={place: json.dumps({"note": secret})})
    with pytest.raises(InvalidInput, match=rf"{name} holds a token of \w.* \(line \d\)") as told:
        version_files(folder, kind="adapter")
    assert secret not in told.value.message


def test_a_secret_in_the_manifest_ends_it(tmp_path: Path) -> None:
    folder = finetuned(tmp_path, facts={"config": {"note": SECRETS[0]}})
    with pytest.raises(InvalidInput, match=r"manifest\.json holds a token of Hugging Face"):
        version_files(folder, kind="adapter")


def test_a_path_in_what_the_model_is_loaded_by_ends_it(tmp_path: Path) -> None:
    config = json.dumps({"tokenizer_file": "/home/me/tokenizer.json"})
    folder = finetuned(tmp_path, extra={"adapter/tokenizer_config.json": config})
    with pytest.raises(InvalidInput, match=r"tokenizer_config\.json names a path of the machine"):
        version_files(folder, kind="adapter")


def test_paths_in_what_only_tells_of_it_are_taken_out(tmp_path: Path) -> None:
    folder = finetuned(
        tmp_path,
        extra={
            "metrics.json": json.dumps({"data": "/kaggle/working/data", "loss": 1.5}),
            "log.jsonl": '{"at": "/home/me/run", "loss": 2.5}\n{"loss": 1}\n',
        },
        facts={"config": {"base_model": "/kaggle/input/base", "data": "/mnt/data/train.jsonl"}},
    )
    found = version_files(folder, kind="adapter")
    assert found.content["metrics.json"] == b'{\n  "data": "data",\n  "loss": 1.5\n}\n'
    assert found.content["log.jsonl"] == b'{"at": "run", "loss": 2.5}\n{"loss": 1}\n'
    assert found.facts["config"] == {"base_model": "someone/base", "data": "train.jsonl"}
    for content in found.with_card("").values():
        text = content if isinstance(content, bytes) else content.read_bytes()
        assert private.path(text.decode(errors="replace")) is None


def test_only_what_is_known_to_belong_there_leaves(tmp_path: Path) -> None:
    strays = (".env", "adapter/.env", "adapter/training_args.bin", "adapter/adapter_model.bin",
              "adapter/runs/config.json", "config.json", "notes.txt")  # fmt: skip
    folder = finetuned(tmp_path, extra=dict.fromkeys(strays, "x"))
    found = version_files(folder, kind="adapter")
    assert set(strays) <= set(found.left_out)
    assert set(found.content) == {
        "adapter_config.json", "adapter_model.safetensors", "tokenizer_config.json",
        "metrics.json", "log.jsonl",
    }  # fmt: skip
