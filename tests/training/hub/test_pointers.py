"""What is in production: the ledger first, then what follows it, which may fail and be mended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from model_pipeline.errors import ConfigurationError, Conflict, InvalidInput, Unavailable
from model_pipeline.release.registry import NoRegistry
from model_pipeline.store.connect import open_pool
from model_pipeline.store.versions import ModelVersion, PgVersions, in_production
from tests.servers.hub_server import CUT
from tests.servers.hub_server import Hub as HubServer
from tests.training.hub.finetuned import finetuned
from training.hub.client import Hub, open_hub
from training.hub.pointers import Pointers
from training.hub.publish import publish

REPO = "tester/answers"
WHY = {"reason": "better", "by": "me"}
BACK = {"reason": "worse", "by": "me"}


class Aliases:
    """A registry that notes what it was told, or is away."""

    def __init__(self) -> None:
        self.at: dict[str, str] = {}
        self.away = False

    def point(self, version: ModelVersion, alias: str) -> None:
        if self.away:
            raise Unavailable("The tracking server did not take the alias.")
        self.at[alias] = version.tag


@pytest.fixture
def pointers(database: str, hub: Hub) -> Iterator[Pointers]:
    with open_pool(database, min_size=1, max_size=2) as pool:
        yield Pointers(PgVersions(pool), Aliases(), hub)


@pytest.fixture
def two(pointers: Pointers, tmp_path: Path) -> tuple[ModelVersion, ModelVersion]:
    """Published, the second in production after the first."""
    made = []
    for seed in (1, 2):
        folder = finetuned(tmp_path / str(seed), seed=seed)
        version = publish(folder, REPO, pointers.hub, kind="adapter").version
        pointers.versions.record(version, **WHY)
        assert pointers.point(version, "promoted", **WHY)
        made.append(version)
    return made[0], made[1]


def live(pointers: Pointers) -> str:
    return in_production(pointers.versions.entries(REPO))[-1]


def test_back_and_forth(
    hub_server: HubServer, pointers: Pointers, two: tuple[ModelVersion, ModelVersion]
) -> None:
    first, second = two
    tags, head = hub_server.repo(REPO).tags, hub_server.repo(REPO).branches["main"]
    assert tags["production"] == second.commit == live(pointers)
    assert pointers.before(REPO) == first
    assert pointers.point(first, "rolled_back", **BACK)
    assert tags["production"] == first.commit == live(pointers)
    assert isinstance(pointers.registry, Aliases)
    assert pointers.registry.at == {"production": "v1"}
    hub_server.asked.clear()
    assert not pointers.point(first, "rolled_back", **BACK)
    assert hub_server.asked == ["refs"]  # nothing is left to move
    assert hub_server.repo(REPO).branches["main"] == head  # no weights moved
    with pytest.raises(InvalidInput, match="had no other version in production before"):
        pointers.before(REPO)
    assert [one.reason for one in pointers.versions.entries(REPO)][-1] == "worse"


@pytest.mark.parametrize(("step", "after"), [("untag", False), ("untag", True), ("tag", False)])
def test_a_move_that_is_cut_off_is_completed_and_not_done_twice(
    hub_server: HubServer,
    pointers: Pointers,
    two: tuple[ModelVersion, ModelVersion],
    step: str,
    after: bool,
) -> None:
    first, _ = two
    hub_server.fail(step, CUT, after=after)
    with pytest.raises(Unavailable, match="answers@v1 is in production, but the Hub's tag"):
        pointers.point(first, "rolled_back", **BACK)
    assert live(pointers) == first.commit  # the ledger holds, whatever follows
    assert hub_server.repo(REPO).tags.get("production") != first.commit
    with pytest.raises(Conflict, match="--to v1 completes it"):
        pointers.before(REPO)
    assert not pointers.point(first, "rolled_back", **BACK)
    assert hub_server.repo(REPO).tags["production"] == first.commit


def test_what_follows_is_each_tried(
    hub_server: HubServer, pointers: Pointers, two: tuple[ModelVersion, ModelVersion]
) -> None:
    first, _ = two
    assert isinstance(pointers.registry, Aliases)
    pointers.registry.away = True
    with pytest.raises(Unavailable, match="MLflow's alias does not say so yet"):
        pointers.point(first, "rolled_back", **BACK)
    assert hub_server.repo(REPO).tags["production"] == first.commit


def test_nothing_is_entered_without_a_token(
    hub_server: HubServer, pointers: Pointers, two: tuple[ModelVersion, ModelVersion]
) -> None:
    unsigned = Pointers(pointers.versions, NoRegistry(), open_hub(hub_server.url, token=None))
    with pytest.raises(ConfigurationError, match="set HF_TOKEN"):
        unsigned.point(two[0], "rolled_back", **BACK)
    assert live(pointers) == two[1].commit
