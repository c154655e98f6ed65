"""Publishing to a real Hub server by its real client: whole or not at all, once, whatever fails."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from signal import SIGKILL

import pytest
from huggingface_hub import CommitOperationAdd

from model_pipeline.errors import Conflict, InvalidInput, PromptlyError, Unavailable
from model_pipeline.store.versions import Kind
from tests.model_pipeline.crashing import processes
from tests.servers.hub_repos import Objects, wrong_metadata
from tests.servers.hub_server import CUT, TOKEN
from tests.servers.hub_server import Hub as HubServer
from tests.training.hub import killed
from tests.training.hub.finetuned import PINNED, finetuned
from training import manifest
from training.hub.client import Hub, open_hub
from training.hub.model_card import CardFacts
from training.hub.publish import MARK, Published, publish, verify

REPO = "tester/answers"
EVIDENCE = {".gitattributes", "README.md", "log.jsonl", "manifest.json", "metrics.json"}
ADAPTER = {"adapter_config.json", "adapter_model.safetensors", "tokenizer_config.json"}
MERGED = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}


def files(hub_server: HubServer, revision: str) -> set[str]:
    return set(hub_server.repo(REPO).at(revision).files)


def whole(hub_server: HubServer, hub: Hub, made: Published) -> None:
    """One commit after the first, one tag on it, and every file as its manifest says."""
    repo = hub_server.repo(REPO)
    assert repo.tags == {"v1": made.version.commit} == {"v1": repo.branches["main"]}
    assert [one.parent is None for one in repo.history("main")] == [False, True]
    assert verify(hub, made.version) == []


def test_an_adapter(hub_server: HubServer, hub: Hub, tmp_path: Path) -> None:
    made = publish(finetuned(tmp_path / "made"), REPO, hub, kind="adapter")
    assert made.fresh
    whole(hub_server, hub, made)
    assert hub_server.repo(REPO).private
    assert files(hub_server, "v1") == EVIDENCE | ADAPTER
    assert "checkpoints/step-2/optimizer.pt" in made.left_out
    assert "adapter/README.md" in made.left_out
    assert made.version.generator == f"transformers:{PINNED}+{REPO}@{made.version.commit}"
    config = json.loads(hub_server.content(REPO, "v1", "adapter_config.json"))
    base, _, commit = PINNED.partition("@")
    assert (config["base_model_name_or_path"], config["revision"]) == (base, commit)
    assert wrong_metadata(hub_server.content(REPO, "v1", "README.md").decode()) == []
    told = json.loads(hub_server.content(REPO, "v1", "manifest.json"))
    assert told["made_from"] == made.version.made_from
    assert set(told["files"]) | {"manifest.json", ".gitattributes"} == files(hub_server, "v1")


def test_without_a_license_it_has_its_bases(
    hub_server: HubServer, hub: Hub, tmp_path: Path
) -> None:
    hub_server.create("someone/base")
    base = hub.api.create_commit(
        "someone/base",
        operations=[CommitOperationAdd("README.md", b"---\nlicense: gemma\n---\n")],
        commit_message="base",
    ).oid
    folder = finetuned(tmp_path / "made", facts={"base_revision": base})
    publish(folder, REPO, hub, kind="adapter")
    assert "\nlicense: gemma\n" in hub_server.content(REPO, "v1", "README.md").decode()
    publish(folder, REPO, hub, kind="merged", card=CardFacts(license="mit"))
    assert "\nlicense: mit\n" in hub_server.content(REPO, "v2", "README.md").decode()


def test_a_whole_model_after_an_adapter_leaves_nothing_of_it(
    hub_server: HubServer, hub: Hub, tmp_path: Path
) -> None:
    folder = finetuned(tmp_path / "made")
    publish(folder, REPO, hub, kind="adapter")
    made = publish(folder, REPO, hub, kind="merged")
    assert made.version.tag == "v2"
    # With adapter_config.json beside it, transformers would load the base in its place.
    assert files(hub_server, "v2") == EVIDENCE | MERGED
    assert files(hub_server, "v1") == EVIDENCE | ADAPTER
    assert made.version.generator == f"transformers:{REPO}@{made.version.commit}"
    assert verify(hub, made.version) == []


def test_the_same_again_is_the_same_version(
    hub_server: HubServer, hub: Hub, tmp_path: Path
) -> None:
    first, second = (finetuned(tmp_path / str(seed), seed=seed) for seed in (1, 2))
    made = publish(first, REPO, hub, kind="adapter")
    other = publish(second, REPO, hub, kind="adapter")
    hub_server.page = 1  # it is not on the first page of commits
    hub_server.asked.clear()
    again = publish(first, REPO, hub, kind="adapter")
    assert (again.version, again.fresh) == (made.version, False)
    assert {"put", "commit", "tag"}.isdisjoint(hub_server.asked)
    assert hub_server.repo(REPO).tags == {"v1": made.version.commit, "v2": other.version.commit}


def test_what_somebody_else_calls_a_version_is_not_taken_for_one(
    hub_server: HubServer, hub: Hub, tmp_path: Path
) -> None:
    folder = finetuned(tmp_path / "made")
    made = publish(folder, "tester/elsewhere", hub, kind="adapter")
    hub_server.create(REPO)
    hub.api.create_commit(
        REPO,
        operations=[CommitOperationAdd("x.txt", b"x")],
        commit_message="mine",
        commit_description=f"{MARK}{made.version.made_from}",
    )
    assert publish(folder, REPO, hub, kind="adapter").fresh
    assert files(hub_server, "v1") == EVIDENCE | ADAPTER  # and x.txt is not part of it


def meanwhile(
    hub_server: HubServer, step: str, run: Callable[[], Published], do: Callable[[], object]
) -> Future[Published]:
    """`do` while `run` waits at `step`."""
    held = hub_server.hold(step)
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(run)
        assert held.go is not None
        try:
            assert held.reached.wait(60)
            do()
        finally:
            held.go.set()
        running.exception(60)
    return running


def test_a_commit_of_somebody_else_in_between(
    hub_server: HubServer, hub: Hub, tmp_path: Path
) -> None:
    mine, other = (finetuned(tmp_path / str(seed), seed=seed) for seed in (1, 2))
    theirs: list[Published] = []
    running = meanwhile(
        hub_server,
        "validate",
        lambda: publish(mine, REPO, hub, kind="adapter"),
        lambda: theirs.append(publish(other, REPO, hub, kind="adapter")),
    )
    with pytest.raises(Conflict, match="nothing was published: run the same again"):
        running.result()
    whole(hub_server, hub, theirs[0])
    assert publish(mine, REPO, hub, kind="adapter").version.tag == "v2"


def test_a_tag_that_somebody_else_takes_in_between(
    hub_server: HubServer, hub: Hub, tmp_path: Path
) -> None:
    folder = finetuned(tmp_path / "made")
    running = meanwhile(
        hub_server,
        "tag",
        lambda: publish(folder, REPO, hub, kind="adapter"),
        lambda: hub_server.repo(REPO).tag("v1", hub_server.repo(REPO).history("main")[-1].oid),
    )
    assert running.result().version.tag == "v2"


def test_a_tag_that_cannot_be_had_is_had_by_the_next_run(
    hub_server: HubServer, hub: Hub, tmp_path: Path
) -> None:
    folder = finetuned(tmp_path / "made")
    hub_server.fail("tag", 409, times=5)
    with pytest.raises(Conflict, match="run the same again, which tags it"):
        publish(folder, REPO, hub, kind="adapter")
    assert hub_server.repo(REPO).tags == {}
    made = publish(folder, REPO, hub, kind="adapter")
    assert not made.fresh
    whole(hub_server, hub, made)


def test_two_that_publish_the_same_at_once_make_one_version(
    hub_server: HubServer, hub: Hub, tmp_path: Path
) -> None:
    folder, start = finetuned(tmp_path / "made"), threading.Barrier(2)

    def run(_: int) -> Published:
        start.wait(30)
        while True:
            try:
                return publish(folder, REPO, hub, kind="adapter")
            except Conflict:
                continue

    with ThreadPoolExecutor(2) as threads:
        one, other = threads.map(run, range(2))
    assert one.version == other.version
    whole(hub_server, hub, one)


STEPS = ("create", "info", "validate", "commit", "refs", "tag")
MIT = CardFacts(license="mit")  # so that nothing is asked about the base
FAULTS = {"503": (503, False), "cut before": (CUT, False), "cut after": (CUT, True)}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("step", STEPS)
def test_what_failed_anywhere_goes_on_by_the_next_run(
    hub_server: HubServer, hub: Hub, tmp_path: Path, step: str, fault: str
) -> None:
    folder = finetuned(tmp_path / "made")
    what, after = FAULTS[fault]
    hub_server.fail(step, what, after=after)
    with pytest.raises(Unavailable, match="run the same again") as told:
        publish(folder, REPO, hub, kind="adapter", card=MIT)
    assert "\n" not in told.value.message
    whole(hub_server, hub, publish(folder, REPO, hub, kind="adapter", card=MIT))


@pytest.mark.parametrize(
    ("step", "after"),
    [("put", False), ("commit", False), ("commit", True), ("tag", False), ("tag", True)],
)
def test_killed_at_a_step_it_goes_on_by_the_next_run(
    hub_server: HubServer, hub: Hub, tmp_path: Path, step: str, after: bool
) -> None:
    folder = finetuned(tmp_path / "made")
    held = hub_server.hold(step, after=after, then=CUT)
    assert held.go is not None
    process = processes().Process(target=killed.run, args=(str(folder), REPO, hub_server.url))
    process.start()
    try:
        while not held.reached.wait(0.1):
            assert process.is_alive(), "it ended before it came as far"
        process.kill()
        process.join(60)
    finally:
        held.go.set()
    assert process.exitcode == -SIGKILL
    whole(hub_server, hub, publish(folder, REPO, hub, kind="adapter"))
    # What was uploaded whole is not uploaded again.
    assert hub_server.asked.count("put") == (2 if step == "put" else 1)


def test_what_the_client_tries_again_is_done(
    hub_server: HubServer, hub: Hub, tmp_path: Path
) -> None:
    for step, what in {"tree": 503, "put": CUT, "verify": 503}.items():
        hub_server.fail(step, what)
    made = publish(finetuned(tmp_path / "made"), REPO, hub, kind="adapter")
    whole(hub_server, hub, made)
    assert hub_server.asked.count("put") == 2


def test_a_hub_that_is_silent_is_away(hub_server: HubServer, tmp_path: Path) -> None:
    hub = open_hub(hub_server.url, token=TOKEN, silent_s=0.3)
    hub_server.fail("commit", 2.0)
    with pytest.raises(Unavailable, match="does not answer"):
        publish(finetuned(tmp_path / "made"), REPO, hub, kind="adapter")


def test_a_hub_that_is_not_there(tmp_path: Path) -> None:
    hub = open_hub("http://127.0.0.1:9", token=TOKEN)  # nobody listens there
    with pytest.raises(Unavailable, match="does not answer"):
        publish(finetuned(tmp_path / "made"), REPO, hub, kind="adapter")


@pytest.mark.parametrize(
    ("kind", "extra", "facts", "said"),
    [
        ("adapter", {}, {"base_model": "/kaggle/input/base"}, "--base owner/name@"),
        ("adapter", {}, {"base_revision": "main"}, "--base owner/name@"),
        ("adapter", {}, {"state": "stopped"}, "was stopped: resume it first"),
        ("adapter", {"adapter/config.json": "no"}, {}, "config.json is not JSON"),
        ("adapter", {"adapter/adapter_config.json": "[]"}, {}, "config.json is not JSON"),
        ("merged", {"metrics.json": "loss: 1"}, {}, "metrics.json is not JSON"),
        ("merged", {"log.jsonl": '{"step": 1}\n{"st'}, {}, "log.jsonl is not JSON"),
    ],
)
def test_what_is_no_version_is_refused_before_the_hub_is_asked(
    hub_server: HubServer,
    hub: Hub,
    tmp_path: Path,
    kind: Kind,
    extra: dict[str, str],
    facts: dict[str, str],
    said: str,
) -> None:
    folder = finetuned(tmp_path / "made", extra=extra, facts=facts)
    with pytest.raises(InvalidInput, match=said):
        publish(folder, REPO, hub, kind=kind)
    assert hub_server.asked == []


def test_a_folder_that_is_not_as_it_was_left(
    hub_server: HubServer, hub: Hub, tmp_path: Path
) -> None:
    def refused(said: str) -> None:
        with pytest.raises(InvalidInput, match=said):
            publish(folder, REPO, hub, kind="adapter")

    folder = finetuned(tmp_path / "made")
    (folder / "metrics.json").write_text('{"loss": 0.01}')
    refused("metrics.json")
    manifest.write(folder, manifest.read(folder))
    (folder / "adapter/more.safetensors").write_text("x")
    refused("more.safetensors is not in the manifest")
    (folder / "adapter/more.safetensors").unlink()
    (folder / "adapter/adapter_model.safetensors").unlink()
    refused("is missing")
    manifest.write(folder, manifest.read(folder))
    refused("no adapter/adapter_model.safetensors")
    (folder / "adapter/adapter_model.safetensors").write_text("no numbers")
    manifest.write(folder, manifest.read(folder))
    refused("not in the format of safetensors")
    (folder / "manifest.json").unlink()
    refused("what made it did not end")
    with pytest.raises(InvalidInput, match="write owner/name"):
        publish(folder, "no/repo/at-all", hub, kind="adapter")
    assert hub_server.asked == []


def test_what_was_changed_on_the_hub_is_told(
    hub_server: HubServer, hub: Hub, tmp_path: Path
) -> None:
    made = publish(finetuned(tmp_path / "made"), REPO, hub, kind="adapter").version
    repo = hub_server.repo(REPO)
    assert isinstance(hub_server.objects, Objects)
    weights = hub_server.objects.path(repo.at("v1").files["adapter_model.safetensors"].sha256)
    content = weights.read_bytes()
    weights.write_bytes(bytes(reversed(content)))
    assert verify(hub, made) == [
        "adapter_model.safetensors is not what was written: its hash differs."
    ]
    weights.write_bytes(content)
    commit = repo.at("v1")
    files = {**commit.files, ".cache/x": commit.files["log.jsonl"]}
    repo.commits[commit.oid] = replace(commit, files=files)
    assert verify(hub, made) == [".cache/x is not in the manifest."]
    repo.commits[commit.oid] = replace(commit, files={**commit.files, "../x": files[".cache/x"]})
    with pytest.raises(InvalidInput, match=r"cannot contain a '\.\.' path segment"):
        verify(hub, made)
    repo.commits[commit.oid] = commit
    repo.tags["v1"] = repo.history("main")[-1].oid
    (fault,) = verify(hub, made)
    assert fault.startswith("The tag v1 on the Hub points to")
    del repo.tags["v1"]
    assert verify(hub, made)[0].startswith("The tag v1 on the Hub is missing")
    with pytest.raises(PromptlyError, match="no such version or commit"):
        verify(hub, replace(made, commit="0" * 40))
