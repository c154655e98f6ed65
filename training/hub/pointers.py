"""What is in production, by pointers: the Ledger, which holds, then what follows it: MLflow's
alias, and the tag on the Hub, which is two calls and may be missing between them. No weights move.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from model_pipeline.errors import Conflict, InvalidInput, PromptlyError, Unavailable
from model_pipeline.release.registry import Registry
from model_pipeline.store.versions import Action, ModelVersion, PgVersions, in_production
from training.hub.client import Hub, hub_errors, status_of

PRODUCTION = "production"


@dataclass(frozen=True, slots=True)
class Pointers:
    versions: PgVersions
    registry: Registry
    hub: Hub

    def before(self, repo: str) -> ModelVersion:
        """What was in production before what is. Raises InvalidInput where there was nothing, and
        Conflict where the last move was cut off: once more, and it would be two steps."""
        commits = in_production(self.versions.entries(repo))
        if commits and self._tagged(repo) != commits[-1]:
            live = self.versions.version(repo, commits[-1])
            raise Conflict(
                f"{live.name} is in production, and the Hub's tag does not say so: the last move "
                f"was cut off. Name by --to where to go; --to {live.tag} completes it."
            )
        if len(commits) < 2:
            raise InvalidInput(
                f"{repo} had no other version in production before: name one by --to."
            )
        return self.versions.version(repo, commits[-2])

    def point(self, version: ModelVersion, action: Action, *, reason: str, by: str) -> bool:
        """False where it is in production already; what follows is mended all the same. Raises
        Unavailable where the ledger has it, but something that follows does not answer: the same
        again goes on."""
        self.hub.require_writable(version.repo)
        moved = self.versions.point(version, action, reason=reason, by=by)
        follow: dict[str, Callable[[], None]] = {
            "MLflow's alias": lambda: self.registry.point(version, PRODUCTION),
            "the Hub's tag": lambda: _tag(self.hub, version),
        }
        failed = []
        for name, move in follow.items():
            try:
                move()
            except PromptlyError as error:
                failed.append(f"{name} does not say so yet: {error.message}")
        if failed:
            raise Unavailable(
                f"{version.name} is in production, but {'; '.join(failed)}. To complete it, name "
                f"{version.tag} again."
            )
        return moved

    def _tagged(self, repo: str) -> str | None:
        with hub_errors(repo):
            return _tags(self.hub, repo).get(PRODUCTION)


def _tag(hub: Hub, version: ModelVersion) -> None:
    repo = version.repo
    for _ in range(2):  # somebody else may be moving it to the same place
        with hub_errors(repo):
            tags = _tags(hub, repo)
            if tags.get(PRODUCTION) == version.commit:
                return
            if PRODUCTION in tags:
                hub.api.delete_tag(repo, tag=PRODUCTION)
            try:
                hub.api.create_tag(repo, tag=PRODUCTION, revision=version.commit)
                return
            except Exception as error:
                if status_of(error) != 409:
                    raise
    raise Conflict("somebody else moves the tag.")


def _tags(hub: Hub, repo: str) -> dict[str, str]:
    return {one.name: one.target_commit for one in hub.api.list_repo_refs(repo).tags}
