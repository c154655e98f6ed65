"""Supabase Auth over HTTPS: from an email and a password to a session, and on to the next.

The password goes into the one request that needs it, and nowhere else.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import httpx

TIMEOUT_S = 10.0
# A token is renewed this long before it ends, so that none ends within a request.
EARLY_S = 90.0
SENTENCES = {
    "invalid_credentials": "The email or the password is wrong.",
    "validation_failed": "The email or the password is wrong.",
    "email_not_confirmed": "This address is not confirmed yet: follow the link in the mail.",
    "user_banned": "This account is closed: ask whoever runs this service.",
    "over_request_rate_limit": "Too many attempts: wait a minute, then try again.",
}
ENDED = "Your session has ended: sign in again."


class SignInError(Exception):
    """One sentence for the reader. `final`: Supabase Auth said no; otherwise it did not answer."""

    def __init__(self, message: str, *, final: bool) -> None:
        super().__init__(message)
        self.final = final


@dataclass(slots=True)
class Session:
    """Who is signed in. `ends_at` is in seconds, as time.time() has it. A refresh token is good
    once, so that a session is changed in place: nothing may come between the new one and its
    keeping."""

    email: str
    access_token: str
    refresh_token: str
    ends_at: float

    @property
    def left_s(self) -> float:
        return self.ends_at - time.time()

    def __repr__(self) -> str:
        return f"Session({self.email!r})"


class SupabaseAuth:
    """`key` is the project's publishable (anon) key."""

    def __init__(self, url: str, key: str) -> None:
        self._url = f"{url.rstrip('/')}/auth/v1"
        self._key = key

    def sign_in(self, email: str, password: str) -> Session:
        """Raises SignInError."""
        return self._session("password", {"email": email, "password": password})

    def refresh(self, session: Session) -> None:
        """Go on with new tokens. Raises SignInError."""
        new = self._session("refresh_token", {"refresh_token": session.refresh_token})
        session.access_token, session.ends_at = new.access_token, new.ends_at
        session.refresh_token = new.refresh_token

    def sign_out(self, session: Session) -> None:
        """Have its refresh token be good for nothing. Where that fails, it is forgotten here."""
        headers = {"Authorization": f"Bearer {session.access_token}"}
        try:
            self._post("logout?scope=local", {}, headers)
        except httpx.HTTPError:
            return

    def _session(self, grant: str, body: dict[str, str]) -> Session:
        try:
            reply = self._post(f"token?grant_type={grant}", body, {})
        except httpx.HTTPError as error:
            raise SignInError(
                "The sign-in service does not answer: try again shortly.", final=False
            ) from error
        if reply.status_code >= 500:
            raise SignInError("The sign-in service is in trouble: try again shortly.", final=False)
        found = _json(reply)
        if reply.is_error:
            code = str(found.get("error_code", ""))
            if reply.status_code == 429:
                code = "over_request_rate_limit"
            reason = ENDED if grant == "refresh_token" else "Signing in was refused."
            raise SignInError(SENTENCES.get(code, reason), final=reply.status_code != 429)
        try:
            return Session(
                str(found["user"]["email"]),
                str(found["access_token"]),
                str(found["refresh_token"]),
                time.time() + float(found["expires_in"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise SignInError(
                "What answers is not Supabase Auth: look at SUPABASE_URL.", final=True
            ) from error

    def _post(self, path: str, body: dict[str, str], headers: dict[str, str]) -> httpx.Response:
        return httpx.post(
            f"{self._url}/{path}",
            json=body,
            headers={"apikey": self._key, **headers},
            timeout=TIMEOUT_S,
        )


def _json(reply: httpx.Response) -> dict[str, Any]:
    try:
        found = reply.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
