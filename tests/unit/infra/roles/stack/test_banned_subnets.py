"""What Label Studio's own calls may reach: of all private addresses the backend's alone."""

from __future__ import annotations

import ipaddress

import pytest

from infra.roles.stack.addresses import FIXED, address_of, dynamic_range, gateway_of
from infra.roles.stack.banned_subnets import RESERVED, banned_subnets

SUBNET = "172.31.250.0/24"
SUBNETS = [SUBNET, "10.20.0.0/16", "192.168.77.16/28"]


def banned(address: str, subnet: str = SUBNET) -> bool:
    """Label Studio's own rule: an address in any listed network is refused."""
    return any(ipaddress.ip_address(address) in ipaddress.ip_network(one) for one in banned_subnets(subnet))


@pytest.mark.parametrize("address", [address_of(SUBNET, "sam2"), "8.8.8.8"])
def test_the_backend_and_the_outside_are_open(address: str) -> None:
    assert not banned(address)


@pytest.mark.parametrize(
    "address",
    [
        *("172.31.250.1", "172.31.250.2", "172.31.250.3", "172.31.250.127", "172.31.250.129"),
        *("172.31.249.255", "172.31.251.0", "169.254.169.254", "127.0.0.1", "10.1.2.3", "192.168.1.1", "::1"),
    ],
)
def test_all_other_private_addresses_stay_banned(address: str) -> None:
    """Our other containers, the server, its neighbours and the metadata address stay banned."""
    assert banned(address)


@pytest.mark.parametrize("subnet", SUBNETS)
def test_exactly_one_address_is_cut_out(subnet: str) -> None:
    def size(networks: list[str]) -> int:
        v4 = [ipaddress.IPv4Network(one) for one in networks if ":" not in one]
        return sum(network.num_addresses for network in ipaddress.collapse_addresses(v4))

    assert size(list(RESERVED)) - size(banned_subnets(subnet)) == 1
    assert not banned(address_of(subnet, "sam2"), subnet)


def test_the_gateway_is_the_first_address() -> None:
    assert gateway_of("10.20.0.0/16") == "10.20.0.1"


@pytest.mark.parametrize("subnet", SUBNETS)
def test_docker_never_gives_a_fixed_address_away(subnet: str) -> None:
    given_out = ipaddress.IPv4Network(dynamic_range(subnet))
    fixed = [ipaddress.IPv4Address(address_of(subnet, one)) for one in FIXED]
    assert len(set(fixed)) == len(FIXED)
    assert ipaddress.IPv4Address(gateway_of(subnet)) in given_out
    for address in fixed:
        assert address in ipaddress.IPv4Network(subnet)
        assert address not in given_out
        assert address != ipaddress.IPv4Network(subnet).broadcast_address
