"""A server of public keys (RFC 7517), as Supabase Auth has one, and what may be done with them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


class KeyServer(ThreadingHTTPServer):
    """Serves the public keys it is given, and counts how often it was asked."""

    keys: dict[str, Any]
    asked = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/jwks.json"


class _Handler(BaseHTTPRequestHandler):
    server: KeyServer

    def do_GET(self) -> None:
        self.server.asked += 1
        found = []
        for kid, key in self.server.keys.items():
            is_rsa = isinstance(key, rsa.RSAPrivateKey)
            kind = jwt.algorithms.RSAAlgorithm if is_rsa else jwt.algorithms.ECAlgorithm
            public = json.loads(kind.to_jwk(key.public_key()))
            found.append({**public, "kid": kid, "alg": "RS256" if is_rsa else "ES256"})
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"keys": found}).encode())

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def running() -> Iterator[KeyServer]:
    """With the keys `curve` and `rsa`."""
    server = KeyServer(("127.0.0.1", 0), _Handler)
    server.keys = {
        "curve": ec.generate_private_key(ec.SECP256R1()),
        "rsa": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    }
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def signed_with_public_key(claims: Mapping[str, Any], key: rsa.RSAPrivateKey, kid: str) -> str:
    """A token signed with the public key's own text, as if that were a shared secret (HS256)."""

    class Raw(jwt.algorithms.HMACAlgorithm):
        """PyJWT refuses such a secret; an attacker's tool does not."""

        def prepare_key(self, key: Any) -> bytes:
            return bytes(key)

    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signing = jwt.api_jws.PyJWS()
    signing.unregister_algorithm("HS256")
    signing.register_algorithm("HS256", Raw(Raw.SHA256))
    payload = json.dumps(dict(claims)).encode()
    return signing.encode(payload, pem, "HS256", {"alg": "HS256", "kid": kid})
