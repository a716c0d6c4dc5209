from __future__ import annotations

import ipaddress
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import ImageError, SourceUnavailable
from backend.sources.addresses import HostPolicy, is_public, parse_hosts

SOON = 30.0


def policy(*answers: str, label_studio: str | None = None, allowed: str = "") -> HostPolicy:
    return HostPolicy(label_studio, parse_hosts(allowed), lambda host, port: answers)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "100.100.100.200", "192.0.0.192", "198.18.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
        "168.63.129.16", "192.0.2.1", "203.0.113.5",
        "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "fec0::1", "2001:db8::1",
        "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::a00:1",
        "64:ff9b::7f00:1", "2002:7f00:1::", "2002:c0a8:101::1", "64:ff9b:1::1", "2001:0:7f00:1::",
        "", "localhost", "8.8.8", "1.1.1.1/0",
    ],
)  # fmt: skip
def test_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "8.8.8.8", "52.216.0.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_public(address: str) -> None:
    assert is_public(address)


@given(st.ip_addresses(v=4))
def test_wrapping_changes_nothing(ip: ipaddress.IPv4Address) -> None:
    public = is_public(str(ip))
    assert is_public(f"::ffff:{ip}") == public
    assert is_public(str(ipaddress.IPv6Address(int(ipaddress.IPv6Address("64:ff9b::")) + int(ip)))) == public


def test_one_private_address_is_enough_to_refuse() -> None:
    """One private address among public ones is enough to refuse."""
    with pytest.raises(ImageError, match=r"^the image's server evil.example has an address inside this network, "):
        policy("8.8.8.8", "10.0.0.1").addresses(("http", "evil.example", 80), time.monotonic() + SOON)


def test_public_server() -> None:
    found = policy("8.8.8.8", "1.1.1.1").addresses(("https", "images.example", 443), time.monotonic() + SOON)
    assert found == ["8.8.8.8", "1.1.1.1"]


@pytest.mark.parametrize(
    ("origin", "may"),
    [
        (("http", "label-studio", 8080), True),
        (("https", "label-studio", 8080), False),
        (("http", "label-studio", 8081), False),
        (("http", "minio.lab", 9000), True),
        (("https", "minio.lab", 9000), True),
        (("http", "minio.lab", 9001), False),
        (("http", "nas", 1), True),
        (("http", "::1", 5), True),
        (("http", "sub.nas", 80), False),
    ],
)
def test_named_servers_may_be_private(origin: tuple[str, str, int], may: bool) -> None:
    guard = policy("10.0.0.9", label_studio="http://Label-Studio:8080/x", allowed="minio.lab:9000, NAS ,[::1]:5,")
    if may:
        assert guard.addresses(origin, time.monotonic() + SOON) == ["10.0.0.9"]
    else:
        with pytest.raises(ImageError, match=r"add it to IMAGE_HOSTS_ALLOWED$"):
            guard.addresses(origin, time.monotonic() + SOON)


@pytest.mark.parametrize("text", ["http://minio", "a:0", "a:65536", "a b", "a:b", "10.0.0.0/8", "*"])
def test_what_is_no_list_of_hosts(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a host or host:port$"):
        parse_hosts(text)


def test_unknown_name() -> None:
    def resolver(host: str, port: int) -> list[str]:
        raise OSError(-2, "Name or service not known")

    with pytest.raises(SourceUnavailable, match=r"^the image's server nowhere is unknown: its name has no address$"):
        HostPolicy(resolver=resolver).addresses(("http", "nowhere", 80), time.monotonic() + SOON)


def test_resolver_that_hangs_is_not_waited_for() -> None:
    forever = threading.Event()

    def resolver(host: str, port: int) -> list[str]:
        forever.wait(60)
        return []

    try:
        with pytest.raises(SourceUnavailable, match=r"could not be looked up in time$"):
            HostPolicy(resolver=resolver).addresses(("http", "slow", 80), time.monotonic() + 0.05)
    finally:
        forever.set()


@pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "0x7f000001", "0"])
def test_other_ways_to_write_loopback(host: str) -> None:
    with pytest.raises(ImageError, match=r"has an address inside this network"):
        HostPolicy().addresses(("http", host, 80), time.monotonic() + SOON)
