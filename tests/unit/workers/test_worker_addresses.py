"""Where a webhook may go: hostile spellings of addresses, and what the owner of the node allows."""

import re
import socket
from typing import Any

import pytest

from workers.activities.activity import ActivityError
from workers.activities.addresses import Allowed, is_public, resolve

INSIDE = [
    "127.0.0.1",
    "127.8.9.10",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "198.18.0.1",
    "224.0.0.1",
    "239.1.2.3",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "fd00:ec2::254",
    "ff02::1",
    "2001:db8::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "2002:c0a8:101::1",
]


@pytest.mark.parametrize("address", INSIDE)
def test_inner_and_reserved_addresses_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_the_internet_is(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f.1", "017700000001", "127.0.0.1", "::1", "0"])
def test_no_spelling_of_loopback_gets_through(host: str) -> None:
    with pytest.raises(ActivityError, match=f"^url: .*{re.escape(host)}"):
        resolve(host, 80, Allowed())


class Resolver:
    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)

    def __call__(self, host: str, port: int, **_: Any) -> list[Any]:
        found = self.answers.pop(0)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]


def test_a_name_that_means_inside_and_outside_at_once_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", Resolver(["93.184.216.34", "10.0.0.8"]))
    with pytest.raises(ActivityError, match=r"url: .*10\.0\.0\.8.*BOTSWAIN_WEBHOOK_ALLOW"):
        resolve("hook.example", 443, Allowed())


def test_networks_and_hosts_can_be_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    allowed = Allowed.of(["10.0.0.0/8", "Erp.Office", "fd00::/8"])
    monkeypatch.setattr(
        socket, "getaddrinfo", Resolver(["10.1.2.3"], ["192.168.7.7"], ["192.168.7.7"], ["fd00::1"])
    )
    assert resolve("anything", 80, allowed) == ["10.1.2.3"]
    assert resolve("erp.office.", 80, allowed) == ["192.168.7.7"]
    with pytest.raises(ActivityError):
        resolve("erp.office.evil", 80, allowed)
    assert resolve("v6", 80, allowed) == ["fd00::1"]


@pytest.mark.parametrize("item", ["10.0.0.0/33", "10.0.0.1/8", "http://host", "host:80", "a b"])
def test_what_is_neither_host_nor_network_is_said(item: str) -> None:
    with pytest.raises(ValueError, match="neither"):
        Allowed.of([item])


def test_an_unknown_host_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(ActivityError, match=r"url: the host nowhere\.example cannot be found"):
        resolve("nowhere.example", 80, Allowed())
