"""Which addresses a webhook may reach: the internet, and what the owner of the node allows beside it.

A URL comes from whoever may create tasks; the node stands inside the network. Without this, a webhook would
be a way to every service that trusts its neighbours, cloud metadata first.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from workers.activities.activity import ActivityError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# Reserved whatever this version of Python says of them, and a public address that is a cloud's own inside
# (Azure's host).
INSIDE = tuple(
    ipaddress.ip_network(text)
    for text in ("192.0.0.0/24", "168.63.129.16/32", "2001::/23", "64:ff9b:1::/48", "fec0::/10")
)


@dataclass(frozen=True)
class Allowed:
    """BOTSWAIN_WEBHOOK_ALLOW: hosts by name, whatever their address, and networks."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    @classmethod
    def of(cls, items: Sequence[str]) -> Allowed:
        """Raises `ValueError` for what is neither a host name nor a network."""
        hosts, networks = [], []
        for item in items:
            try:
                networks.append(ipaddress.ip_network(item))
            except ValueError as error:
                if "/" in item or not all(c.isalnum() or c in ".-_" for c in item):
                    raise ValueError(f"{item!r} is neither a host nor a network: {error}") from None
                hosts.append(item.lower().rstrip("."))
        return cls(frozenset(hosts), tuple(networks))

    def allows(self, address: Address) -> bool:
        return any(address in network for network in self.networks)


def resolve(host: str, port: int, allowed: Allowed) -> list[str]:
    """The addresses of `host`, looked up once: the caller connects to these and asks no resolver again,
    so that a name cannot mean another machine a moment later. Raises `ActivityError`.

    All of them must be allowed: a name that means the internet and the inside at once is up to something.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ActivityError(f"url: the host {host} cannot be found: {error}") from None
    texts = list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
    if host.lower().rstrip(".") not in allowed.hosts:
        for text in texts:
            if not is_public(text) and not allowed.allows(_bare(text)):
                raise ActivityError(
                    f"url: {host} is at {text}, inside the node's network or reserved; "
                    "the node's BOTSWAIN_WEBHOOK_ALLOW does not name it."
                )
    return texts


def is_public(text: str) -> bool:
    """Whether the address belongs to the internet at large, also where it is an IPv4 one in disguise."""
    address = _bare(text)
    inner = _embedded(address)
    if inner is not None:
        return is_public(str(inner))
    inside = any(address in network for network in INSIDE)
    return address.is_global and not address.is_multicast and not inside


def _bare(text: str) -> Address:
    return ipaddress.ip_address(text.partition("%")[0])


def _embedded(address: Address) -> ipaddress.IPv4Address | None:
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address.sixtofour
