"""MLflow's registry of models, which follows the Ledger: a version for each published one, and an
alias on the one that is in production. Aliases have no history and ask nobody: nothing is read from
here."""

from __future__ import annotations

from typing import Any, Protocol

from model_pipeline.evaluation.tracking import open_client, tracking_errors
from model_pipeline.store.versions import ModelVersion

COMMIT = "promptly.commit"


class Registry(Protocol):
    def point(self, version: ModelVersion, alias: str) -> None:
        """The alias names this version from now on. Raises Unavailable."""


class NoRegistry:
    """Where no server is named."""

    def point(self, version: ModelVersion, alias: str) -> None:
        return


class MlflowRegistry:
    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._client: Any = open_client(uri)

    def point(self, version: ModelVersion, alias: str) -> None:
        with tracking_errors(self._uri, "the alias"):
            name = version.repo.replace("/", "--")  # its names have no slash
            self._client.set_registered_model_alias(name, alias, self._registered(name, version))

    def _registered(self, name: str, version: ModelVersion) -> str:
        """Its number there; made where it is missing."""
        if not self._client.search_registered_models(f"name = '{name}'"):
            self._client.create_registered_model(name, description=f"{version.repo} on the Hub")
        for one in self._client.search_model_versions(f"name = '{name}'"):
            if one.tags.get(COMMIT) == version.commit:
                return str(one.version)
        made = self._client.create_model_version(
            name,
            source=f"hf://{version.repo}@{version.commit}",  # https it takes for an artifact's
            tags={COMMIT: version.commit, "promptly.version": version.name},
            description=version.generator,
            await_creation_for=None,
        )
        return str(made.version)


def open_registry(uri: str | None) -> Registry:
    """Raises ConfigurationError where mlflow is missing, or `uri` is no server's."""
    return NoRegistry() if uri is None else MlflowRegistry(uri)
