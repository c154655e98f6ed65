"""What is published is what answers: the service loads an adapter and a whole model by their
commits, from a Hub that shows them to nobody else."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd

from model_pipeline.embedding.onnx_embedder import OnnxEmbedder
from tests import models
from tests.promptly.adapted_model import make_adapted_model
from tests.promptly.loading import answers
from tests.servers.hub_server import TOKEN, running
from tests.training.hub.finetuned import FACTS
from training import manifest
from training.hub.client import Hub, open_hub
from training.hub.publish import publish, verify

SAYS = "The shop is closed on public holidays [1]."
DOCUMENT = "The shop opens at nine. It is closed on public holidays."
QUESTION = "When is the shop closed?"
BASE = "tester/base"
# A library asks for what its next major version renames.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")


def uploaded(hub: Hub, folder: Path) -> str:
    """The commit."""
    hub.api.create_repo(BASE, private=True)
    files = [CommitOperationAdd(path.name, path) for path in folder.iterdir()]
    return str(hub.api.create_commit(BASE, operations=files, commit_message="base").oid)


def test_the_service_answers_by_what_was_published(
    module_database: str, embedder: OnnxEmbedder, embedder_cache: Path, tmp_path: Path
) -> None:
    with models.ingesting(module_database, embedder) as ingest:
        models.put(ingest, "shop", [DOCUMENT])
    made = tmp_path / "made"
    before = make_adapted_model(made, says=SAYS)[0].rename(tmp_path / "base")
    (made / "metrics.json").write_text('{"loss": 0.02}')
    home = tmp_path / "home"
    (home / "cache").mkdir(parents=True)
    for path in embedder_cache.iterdir():  # but not the models, which are to be loaded
        (home / "cache" / path.name).symlink_to(path)
    with running(tmp_path / "hub") as server:
        hub = open_hub(server.url, token=TOKEN)
        commit = uploaded(hub, before)
        manifest.write(made, FACTS | {"base_model": str(before), "base_revision": None})
        base = f"{BASE}@{commit}"
        adapter, merged = (
            publish(made, f"tester/{kind}", hub, kind=kind, base=base).version
            for kind in ("adapter", "merged")
        )
        assert verify(hub, adapter) == verify(hub, merged) == []
        server.asked.clear()
        environment = {
            "HF_ENDPOINT": server.url,
            "HF_TOKEN": TOKEN,
            "PROMPTLY_HOME": str(home),
            "PROMPTLY_DATABASE_URL": module_database,
        }
        specs = [f"transformers:{base}", adapter.generator, merged.generator]
        specs.append(f"transformers:tester/merged@{'0' * 40}")
        specs.append(f"transformers:tester/adapter@{adapter.commit}")
        first, by_adapter, by_merged, unknown, alone = answers(
            environment, specs, QUESTION, tmp_path
        )
    assert server.asked.count("cdn") == 3  # the weights of each
    assert "holidays" not in first["answer"]
    for found, version in ((by_adapter, adapter), (by_merged, merged)):
        assert found["answer"] == "The shop is closed on public holidays. [1]"
        assert found["quotes"] == ["It is closed on public holidays."]
        assert found["release_id"].startswith(version.generator.removeprefix("transformers:"))
    assert "cannot be loaded" in unknown["error"]
    assert "tester/adapter is an adapter: name its model before it" in alone["error"]
