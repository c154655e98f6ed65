"""Builds what publishes models, and what says which of them is in production."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model_pipeline.errors import InvalidInput
from model_pipeline.evaluation import scorecard_file
from model_pipeline.release.registry import open_registry
from model_pipeline.store.connect import open_pool
from model_pipeline.store.versions import Kind, PgVersions
from promptly import bootstrap
from promptly.settings import Settings
from training import manifest
from training.hub.client import Hub, Tell, open_hub
from training.hub.model_card import CardFacts
from training.hub.pointers import Pointers
from training.hub.publish import Published
from training.hub.publish import publish as publish_version


@contextmanager
def versions(settings: Settings) -> Iterator[PgVersions]:
    with (
        bootstrap.database(settings) as conninfo,
        open_pool(conninfo, min_size=1, max_size=2) as pool,
    ):
        yield PgVersions(pool)


def hub(settings: Settings, tell: Tell) -> Hub:
    token = settings.hub_token
    return open_hub(
        settings.hub_endpoint,
        token=token.get_secret_value() if token else None,
        keyless=settings.hub_keyless,
        tell=tell,
    )


@contextmanager
def pointers(settings: Settings, tell: Tell) -> Iterator[Pointers]:
    registry = open_registry(settings.tracking_uri)
    with versions(settings) as found:
        yield Pointers(found, registry, hub(settings, tell))


def publish(
    settings: Settings,
    folder: Path,
    repo: str,
    *,
    kind: Kind,
    card: CardFacts,
    base: str | None = None,
    private: bool = True,
    reason: str,
    by: str,
    tell: Tell,
) -> Published:
    """Publishes what a fine-tune left in `folder`, as training.hub.publish does, and enters it in
    the ledger."""
    with versions(settings) as records:
        made = publish_version(
            folder, repo, hub(settings, tell), kind=kind, card=card, base=base, private=private,
            tell=tell,
        )  # fmt: skip
        records.record(made.version, reason=reason, by=by)
    return made


def card_facts(
    *,
    license: str | None,
    language: str | None,
    scorecard: Path | None,
    bias_report: Path | None,
    data: Path | None,
) -> CardFacts:
    """What a model card shows, from the files that hold it."""
    return CardFacts(
        license=license,
        language=language,
        scorecard=scorecard_file.read(scorecard) if scorecard else None,
        bias=_bias(bias_report) if bias_report else None,
        data=_training_data(data) if data else None,
    )


def _bias(path: Path) -> dict[str, object]:
    from bias.report import file

    try:
        report = file.from_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read as a bias report: {error}") from error
    return {**report["whole"], "judge": report["judge"]}


def _training_data(folder: Path) -> dict[str, object]:
    return manifest.read(folder)
