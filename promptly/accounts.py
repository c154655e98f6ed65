"""Who is let in: tokens of Supabase Auth, service keys, and the UI's sign-in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import jwt

from model_pipeline.domain import Caller
from model_pipeline.errors import ConfigurationError
from promptly.settings import LOOPBACK, Settings
from rag_service.api.tokens import Keys, TokenAccess

# As HS256 asks (RFC 7518, 3.2).
SHORTEST_SECRET = 32


def token_access(settings: Settings, key_check: Callable[[str], Awaitable[Caller]]) -> TokenAccess:
    """Without anything that Supabase's tokens could be checked with, service keys alone are taken.
    Raises ConfigurationError for a secret that could be guessed."""
    base = settings.supabase_url.rstrip("/") + "/auth/v1" if settings.supabase_url else None
    keys = settings.supabase_jwks_url or (base and f"{base}/.well-known/jwks.json")
    secret = settings.supabase_jwt_secret
    if secret and len(secret.get_secret_value().encode()) < SHORTEST_SECRET:
        raise ConfigurationError(
            f"SUPABASE_JWT_SECRET has under {SHORTEST_SECRET} bytes, which can be guessed: set the "
            "project's own."
        )
    return TokenAccess(
        secret=secret.get_secret_value() if secret else None,
        keys=Keys(keys) if keys else None,
        issuer=base,
        service_keys=key_check,
    )


def sign_in(settings: Settings) -> tuple[str, str] | None:
    """Where the UI has people sign in: the project's address and its publishable key.

    Raises ConfigurationError for a key that must not leave the server, and for an address to which
    passwords would go in the clear.
    """
    url, key = settings.supabase_url, settings.supabase_key
    if not (settings.has_accounts and url and key):
        return None
    if key.startswith("sb_secret_") or _role(key) == "service_role":
        raise ConfigurationError(
            "SUPABASE_KEY is a secret key, and the UI needs the project's publishable (anon) key "
            "to let people sign in: set that, or unset it."
        )
    address = urlsplit(url)
    if not address.hostname or (address.scheme != "https" and address.hostname not in LOOPBACK):
        raise ConfigurationError(
            f"SUPABASE_URL is {url!r}, and passwords would go there unencrypted: give its https "
            "address."
        )
    return url, key


def _role(key: str) -> object:
    """What a key of the older kind, a JWT, says it is for."""
    try:
        return jwt.decode(key, options={"verify_signature": False}).get("role")
    except jwt.PyJWTError:
        return None
