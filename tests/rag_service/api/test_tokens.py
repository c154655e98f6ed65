"""Tokens: who they name, and every way in which they are refused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from model_pipeline.domain import Caller
from model_pipeline.errors import Unauthorized, Unavailable
from rag_service.api.tokens import Keys, TokenAccess
from tests.servers import jwks
from tests.servers.jwks import KeyServer

SECRET = "a secret of more than thirty-two bytes"
USER = "5f0c2a1e-0000-4000-8000-000000000001"
ISSUER = "https://project.supabase.co/auth/v1"


def claims(**changes: Any) -> dict[str, Any]:
    made = {
        "sub": USER,
        "role": "authenticated",
        "aud": "authenticated",
        "iss": ISSUER,
        "exp": time.time() + 3600,  # made once, used when the suite gets there
    } | changes
    return {name: value for name, value in made.items() if value is not None}


def bearer(key: Any = SECRET, algorithm: str = "HS256", kid: str = "", **changes: Any) -> str:
    headers = {"kid": kid} if kid else None
    return "Bearer " + jwt.encode(claims(**changes), key, algorithm=algorithm, headers=headers)


def ask(access: TokenAccess, authorization: str | None) -> Caller:
    return asyncio.run(access(authorization))


@pytest.fixture
def key_server() -> Iterator[KeyServer]:
    with jwks.running() as server:
        yield server


def test_without_a_token_one_is_anybody() -> None:
    assert ask(TokenAccess(SECRET), None) == Caller()


def test_the_public_key_of_a_project_is_anybody() -> None:
    anon = bearer(role="anon", sub=None, aud=None)
    assert ask(TokenAccess(SECRET, issuer=ISSUER), anon) == Caller()


def test_a_users_token() -> None:
    caller = ask(TokenAccess(SECRET, issuer=ISSUER), bearer(aud=["x", "authenticated"]))
    assert (caller.role, caller.claims["sub"]) == ("authenticated", USER)


REFUSED = {
    "no scheme": (jwt.encode(claims(), SECRET), "must be 'Bearer'"),
    "another scheme": ("Basic dXNlcjpwYXNz", "must be 'Bearer'"),
    "empty": ("Bearer ", "must be 'Bearer'"),
    "no token at all": ("Bearer rubbish", "not valid"),
    "forged": (bearer("another secret of thirty-two bytes!!"), "not valid"),
    "expired": (bearer(exp=time.time() - 60), "expired"),
    "without an end": (bearer(exp=None), "not valid"),
    "not yet": (bearer(nbf=time.time() + 3000), "not valid"),
    "another audience": (bearer(aud="elsewhere"), "another audience"),
    "no audience": (bearer(aud=None), "another audience"),
    "another issuer": (bearer(iss="https://elsewhere.supabase.co/auth/v1"), "not valid"),
    "no user": (bearer(sub=None), "names no user"),
    "no user's id": (bearer(sub="ada"), "names no user"),
    "the service's key": (bearer(role="service_role"), "not a user's"),
    "the tables' owner": (bearer(role="postgres"), "not a user's"),
    "no role": (bearer(role=None), "not a user's"),
    "no signature": (bearer(None, "none"), "algorithm is not accepted"),
    "another algorithm": (bearer(SECRET * 2, "HS512"), "algorithm is not accepted"),
    "cut": (bearer()[:-3], "not valid"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    header, reason = REFUSED[case]
    with pytest.raises(Unauthorized, match=reason) as raised:
        ask(TokenAccess(SECRET, issuer=ISSUER), header)
    assert SECRET not in str(raised.value)


def test_public_keys(key_server: KeyServer) -> None:
    access = TokenAccess(keys=Keys(key_server.url), issuer=ISSUER)
    for kid, algorithm in (("curve", "ES256"), ("rsa", "RS256")):
        token = bearer(key_server.keys[kid], algorithm, kid)
        assert ask(access, token).claims["sub"] == USER
    assert key_server.asked == 1


def test_a_public_key_is_no_secret(key_server: KeyServer) -> None:
    """A token signed with the public key's own text, as if it were the shared secret."""
    token = jwks.signed_with_public_key(claims(), key_server.keys["rsa"], "rsa")
    with pytest.raises(Unauthorized, match="algorithm is not accepted"):
        ask(TokenAccess(keys=Keys(key_server.url)), f"Bearer {token}")
    with pytest.raises(Unauthorized, match="not valid"):
        ask(TokenAccess(SECRET, Keys(key_server.url)), f"Bearer {token}")


def test_a_key_of_the_other_kind(key_server: KeyServer) -> None:
    token = bearer(key_server.keys["curve"], "ES256", "rsa")
    with pytest.raises(Unauthorized, match="not its key's"):
        ask(TokenAccess(keys=Keys(key_server.url)), token)


def test_a_rotated_key_is_fetched(key_server: KeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag_service.api.tokens.KEYS_REST_S", 0)
    access = TokenAccess(keys=Keys(key_server.url))
    assert ask(access, bearer(key_server.keys["curve"], "ES256", "curve"))
    key_server.keys = {"next": ec.generate_private_key(ec.SECP256R1())}
    assert ask(access, bearer(key_server.keys["next"], "ES256", "next"))
    with pytest.raises(Unauthorized, match="unknown key"):
        ask(access, bearer(key_server.keys["next"], "ES256", "curve"))


def test_unknown_keys_do_not_flood_the_server_of_keys(key_server: KeyServer) -> None:
    access = TokenAccess(keys=Keys(key_server.url))
    for number in range(20):
        with pytest.raises(Unauthorized, match="unknown key"):
            ask(access, bearer(key_server.keys["curve"], "ES256", f"k{number}"))
    assert key_server.asked == 1


def test_a_server_of_keys_that_is_away(
    key_server: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = bearer(key_server.keys["curve"], "ES256", "curve")
    with pytest.raises(Unavailable, match="keys that tokens are signed with"):
        ask(TokenAccess(keys=Keys("http://127.0.0.1:9/jwks.json")), token)
    access = TokenAccess(keys=Keys(key_server.url))
    assert ask(access, token)
    key_server.shutdown()
    key_server.server_close()
    monkeypatch.setattr("rag_service.api.tokens.KEYS_LIFE_S", 0)
    monkeypatch.setattr("rag_service.api.tokens.KEYS_REST_S", 0)
    assert ask(access, token).claims["sub"] == USER
