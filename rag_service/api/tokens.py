"""From an Authorization header to who asks: Supabase's access tokens (JWT, RFC 7519), and keys."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import jwt

from model_pipeline.domain import Caller
from model_pipeline.errors import Unauthorized, Unavailable
from model_pipeline.store.keys import PREFIX

KEYS_LIFE_S = 600.0
# However many tokens name keys that nobody knows, the server of keys is asked no oftener.
KEYS_REST_S = 10.0
FETCH_LIMIT_S = 5.0
LEEWAY_S = 10
ASYMMETRIC = ("RS256", "ES256")


class Keys:
    """The public keys behind a JWKS address (RFC 7517): cached, and fetched anew when a token names
    one that is not among them, as it does after a rotation."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched = -KEYS_LIFE_S
        self._tried = -KEYS_REST_S
        self._fetching = asyncio.Lock()

    async def key(self, key_id: str) -> jwt.PyJWK:
        """Raises Unauthorized for an unknown key, Unavailable where the keys cannot be had."""
        now = time.monotonic()
        if key_id in self._keys and now - self._fetched < KEYS_LIFE_S:
            return self._keys[key_id]
        async with self._fetching:
            if key_id not in self._keys or now - self._fetched >= KEYS_LIFE_S:
                await self._refresh(known=key_id in self._keys)
        if key_id not in self._keys:
            raise Unauthorized("The token is signed with an unknown key: sign in again.")
        return self._keys[key_id]

    async def _refresh(self, *, known: bool) -> None:
        now = time.monotonic()
        if now - self._tried < KEYS_REST_S:
            return
        self._tried = now
        try:
            async with httpx.AsyncClient(timeout=FETCH_LIMIT_S) as client:
                reply = await client.get(self._url)
            found = jwt.PyJWKSet.from_dict(reply.raise_for_status().json()).keys
        except (httpx.HTTPError, ValueError, jwt.PyJWTError) as error:
            if known:
                return  # the key was good a while ago: better than to turn everybody away
            self._tried = -KEYS_REST_S
            raise Unavailable(
                "The keys that tokens are signed with cannot be fetched: try again shortly."
            ) from error
        self._keys = {key.key_id: key for key in found if key.key_id}
        self._fetched = now


@dataclass(frozen=True, slots=True)
class TokenAccess:
    """Who asks, by a token of Supabase Auth or a service key; without one, anybody.

    A shared `secret` (HS256), public `keys` (RS256, ES256), or both, as while moving from one to
    the other. A token chooses among them by its algorithm, and a key never serves the other kind.
    """

    secret: str | None = None
    keys: Keys | None = None
    audience: str = "authenticated"
    issuer: str | None = None
    service_keys: Callable[[str], Awaitable[Caller]] | None = None

    async def __call__(self, authorization: str | None) -> Caller:
        """Raises Unauthorized with what is wrong."""
        if authorization is None:
            return Caller()
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthorized("The Authorization header must be 'Bearer' and a token.")
        token = token.strip()
        if self.service_keys is not None and token.startswith(PREFIX):
            return await self.service_keys(token)
        if self.secret is None and self.keys is None:
            raise Unauthorized("Nobody signs in here: send a key of `promptly keys create`.")
        claims = await self._claims(token)
        if claims.get("role") == "anon":  # the public key of a project that uses a secret
            return Caller()
        if claims.get("role") != "authenticated":
            raise Unauthorized("The token is not a user's: sign in, and send the access token.")
        return Caller("authenticated", {**claims, "sub": str(_user(claims))})

    async def _claims(self, token: str) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
            algorithm = header.get("alg")
            key: Any
            if algorithm == "HS256" and self.secret is not None:
                key = self.secret
            elif algorithm in ASYMMETRIC and self.keys is not None:
                key = await self.keys.key(str(header.get("kid", "")))
                if key.algorithm_name != algorithm:
                    raise Unauthorized("The token's algorithm is not its key's: sign in again.")
            else:
                raise Unauthorized("The token's algorithm is not accepted: sign in again.")
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                issuer=self.issuer,
                leeway=LEEWAY_S,
                options={"require": ["exp"], "verify_aud": False},
            )
        except jwt.ExpiredSignatureError as error:
            raise Unauthorized("The token has expired: sign in again.") from error
        except (jwt.PyJWTError, ValueError) as error:
            raise Unauthorized("The token is not valid: sign in again.") from error
        audience = claims.get("aud", [])
        if claims.get("role") != "anon" and self.audience not in (
            [audience] if isinstance(audience, str) else audience
        ):
            raise Unauthorized("The token is for another audience: sign in again.")
        return claims


def _user(claims: dict[str, Any]) -> UUID:
    try:
        return UUID(claims["sub"])
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise Unauthorized("The token names no user: sign in again.") from error
