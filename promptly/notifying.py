"""Tells people, by whatever service Apprise knows (extra `notify`)."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from model_pipeline.errors import ConfigurationError, Unavailable
from promptly.settings import Settings


def notify(settings: Settings, title: str, body: str, *, good: bool) -> None:
    """Nobody, where PROMPTLY_NOTIFY is not set. Raises ConfigurationError for an address that is
    none, Unavailable where somebody could not be told."""
    addresses = [one.get_secret_value() for one in settings.notify if one.get_secret_value()]
    if addresses:
        _send(addresses, title, body, good=good)


def _send(addresses: Sequence[str], title: str, body: str, *, good: bool) -> None:
    try:
        import apprise
    except ImportError as error:
        raise ConfigurationError(
            "PROMPTLY_NOTIFY is set, but Apprise is not installed: "
            "`pip install 'promptly-rag[notify]'`, or unset it."
        ) from error
    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # it would log addresses, with secrets
    sending = apprise.Apprise()
    for number, address in enumerate(addresses, 1):
        if not sending.add(address):
            raise ConfigurationError(f"PROMPTLY_NOTIFY has no address that is known at {number}.")
    kind = apprise.NotifyType.SUCCESS if good else apprise.NotifyType.FAILURE
    if not sending.notify(title=title, body=body, notify_type=kind):
        raise Unavailable("Not everybody in PROMPTLY_NOTIFY could be told: look at the addresses.")
