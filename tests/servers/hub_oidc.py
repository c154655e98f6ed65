"""The identity of a CI job, as GitHub signs it, and the Hub's check of it: a repository's owner
says which workflow may publish to it, and no secret is kept anywhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.servers.hub_repos import Refused

ISSUER = "https://token.actions.githubusercontent.com"
GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"


@dataclass
class Identities:
    """`trusted` has Hub repository: the GitHub repository whose jobs may publish there."""

    hub: str = ""
    job: str = "someone/promptly"
    """The GitHub repository whose job is running."""
    request_token: str = "of-this-job"
    trusted: dict[str, str] = field(default_factory=dict)

    @cached_property
    def _key(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def environment(self, repo: str) -> dict[str, str]:
        """What a job has that may ask for its identity, and publishes to `repo`."""
        return {
            "GITHUB_ACTIONS": "true",
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.hub}/_github/id-token?api-version=2.0",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": self.request_token,
            "HF_OIDC_RESOURCE": repo,
        }

    def mint(self, audience: str) -> str:
        """GitHub's part."""
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": audience, "repository": self.job, "iat": now}
        return jwt.encode(claims | {"exp": now + 300}, self._key, "RS256")

    def exchange(self, given: Mapping[str, Any]) -> str:
        """The Hub's part: the repository that the job may write to."""
        if (given.get("grant_type"), given.get("subject_token_type")) != (GRANT, ID_TOKEN):
            raise Refused(400, "unsupported_grant_type")
        try:
            claims = jwt.decode(
                str(given.get("subject_token")), self._key.public_key(), ["RS256"],
                audience=self.hub, issuer=ISSUER,
            )  # fmt: skip
        except jwt.PyJWTError as error:
            raise Refused(401, f"invalid_token: {error}") from error
        resource = str(given.get("resource"))
        if self.trusted.get(resource) != claims["repository"]:
            raise Refused(403, f"No trusted publisher of {resource} matches this token")
        return resource
