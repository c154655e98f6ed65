"""The HTTPS door: Supabase's own client, for places that have only an address and a key; the one
place where its errors become ours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx

from model_pipeline.errors import (
    ConfigurationError,
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    PromptlyError,
    StoreUnavailable,
    Unauthorized,
)

if TYPE_CHECKING:
    from supabase import Client

TIMEOUT_S = 60.0
# What trying again may mend, by SQLSTATE, PostgREST's code or HTTP status: a server that is away,
# busy or starting, and a statement that took too long with a cold cache (57014).
TRANSIENT = re.compile(r"(08|53|57)\w{3}|40001|40P01|PGRST00\d|408|425|429|5\d\d")
NOT_SIGNED_IN = ("PGRST301", "PGRST302", "PGRST303", "401")
FORBIDDEN = ("42501", "403")
OTHER_SCHEMA = ("PGRST202", "PGRST204", "PGRST205", "42P01", "42883", "42703")


@contextmanager
def open_client(url: str, key: str, token: str | None = None) -> Iterator[Client]:
    """A client that acts as `token`'s user, or without one as whom `key` is for.

    Raises ConfigurationError where the client is not installed, or `url` is none.
    """
    try:
        from supabase import ClientOptions, create_client
    except ImportError as error:
        raise ConfigurationError(
            "Supabase's client is not installed: `pip install 'promptly-rag[supabase]'`."
        ) from error
    with httpx.Client(timeout=TIMEOUT_S, follow_redirects=True) as connections:
        options = ClientOptions(
            httpx_client=connections,
            auto_refresh_token=False,
            persist_session=False,
            postgrest_client_retry=False,  # whoever asks decides on that, for both doors
        )
        if token:
            options.headers = {**options.headers, "Authorization": f"Bearer {token}"}
        with translate_errors():
            client = create_client(url, key, options)
        yield client


@contextmanager
def translate_errors() -> Iterator[None]:
    """Turn what the client raises into PromptlyError; use around every call of it."""
    from postgrest.exceptions import APIError
    from storage3.exceptions import StorageApiError

    from supabase import SupabaseException

    try:
        yield
    except httpx.TransportError as error:
        raise StoreUnavailable(
            f"SUPABASE_URL does not answer ({str(error) or type(error).__name__}): try again "
            "shortly, or correct it."
        ) from error
    except SupabaseException as error:
        raise ConfigurationError(
            f"SUPABASE_URL or its key cannot be used ({error}): take both from the project's "
            "settings."
        ) from error
    except APIError as error:
        # What has no code is the gateway's before PostgREST: it refuses keys, or reaches nobody.
        gateway = "401" if "key" in str(error.message) else "502"
        raise _translated(error.code or gateway, str(error.message)) from error
    except StorageApiError as error:
        raise _translated(str(error.status), str(error.message)) from error


def _translated(code: str, message: str) -> PromptlyError:
    reason = message.strip().splitlines()[0] if message.strip() else code
    if TRANSIENT.fullmatch(code):
        return StoreUnavailable(f"Supabase's API does not answer ({reason}): try again shortly.")
    if code in NOT_SIGNED_IN:
        return Unauthorized(
            f"Supabase's API does not accept this key or token ({reason}): set it anew, "
            "or sign in again where a token has expired."
        )
    if code in FORBIDDEN:
        return Forbidden(f"This key or token may not do this ({reason}): use one that may.")
    if code == "404":
        return NotFound(f"Supabase's API has no such thing: {reason}.")
    if code == "409":
        return Conflict(f"Supabase's API has it already: {reason}.")
    if code in OTHER_SCHEMA:
        return ConfigurationError(
            f"The project's schema is not the one expected ({reason}): run `promptly db migrate`."
        )
    return InvalidInput(f"Supabase's API refused: {reason}")
