"""The way to the public web alone, for addresses that others named.

A name is looked up here, every address it has is checked, and the connection goes to one that was:
so that no name, redirect or change of a name's address leads to this machine, to the network
around it, or to the services by which clouds tell machines their secrets.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import httpcore
import httpx

# Carries an IPv4 address in its last bits (RFC 6052).
NAT64 = ip_network("64:ff9b::/96")
# Azure's and Oracle's machines ask there for their secrets: public by their numbers alone.
METADATA = (ip_network("168.63.129.16/32"), ip_network("192.0.0.0/24"))


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public web."""
    ip = ip_address(address)
    if isinstance(ip, IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if ip in NAT64:
            inner = IPv4Address(int(ip) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(str(inner))
        if ip.teredo or ip.is_site_local:
            return False
    special = ip.is_multicast or ip.is_reserved or any(ip in network for network in METADATA)
    return ip.is_global and not special


class PublicWeb(httpx.HTTPTransport):
    """Connects to what is `allowed`. Knows no proxy: it would look names up by itself."""

    def __init__(self, max_connections: int, allowed: Callable[[str], bool] = is_public) -> None:
        super().__init__(trust_env=False)
        pool = getattr(self, "_pool", None)
        assert isinstance(pool, httpcore.ConnectionPool), "httpx keeps its pool elsewhere by now"
        pool.close()
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(trust_env=False),
            max_connections=max_connections,
            network_backend=_Checked(allowed),
        )


class _Checked(httpcore.SyncBackend):
    def __init__(self, allowed: Callable[[str], bool]) -> None:
        self._allowed = allowed

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"{host} has no address") from error
        addresses = [str(entry[4][0]) for entry in found]
        if not all(map(self._allowed, addresses)):
            raise httpcore.ConnectError(
                f"{host} is on this machine or in a private network, which only its operator's "
                "sources may read"
            )
        return super().connect_tcp(addresses[0], port, timeout, local_address, socket_options)
