from __future__ import annotations

import ipaddress

import pytest

from infra.roles.stack.banned_subnets import RESERVED, banned_subnets, gateway_of

SUBNET = "172.31.250.0/24"


def banned(address: str, subnet: str = SUBNET) -> bool:
    """Label Studio's own rule: an address in any listed network is refused."""
    return any(ipaddress.ip_address(address) in ipaddress.ip_network(one) for one in banned_subnets(subnet))


@pytest.mark.parametrize("address", ["172.31.250.2", "172.31.250.254", "8.8.8.8"])
def test_our_containers_and_the_outside_are_open(address: str) -> None:
    assert not banned(address)


@pytest.mark.parametrize(
    "address",
    [
        "172.31.250.1",
        "172.31.249.255",
        "172.31.251.0",
        "169.254.169.254",
        "127.0.0.1",
        "10.1.2.3",
        "192.168.1.1",
        "::1",
    ],
)
def test_server_neighbours_and_metadata_stay_banned(address: str) -> None:
    """The server, its neighbours and the metadata address stay banned."""
    assert banned(address)


def test_the_gateway_is_the_first_address() -> None:
    assert gateway_of("10.20.0.0/16") == "10.20.0.1"


@pytest.mark.parametrize("subnet", [SUBNET, "10.20.0.0/16", "192.168.77.16/28"])
def test_exactly_our_subnet_is_cut_out(subnet: str) -> None:
    ours = ipaddress.IPv4Network(subnet)

    def size(networks: list[str]) -> int:
        v4 = [ipaddress.IPv4Network(one) for one in networks if ":" not in one]
        return sum(network.num_addresses for network in ipaddress.collapse_addresses(v4))

    assert size(list(RESERVED)) - size(banned_subnets(subnet)) == ours.num_addresses - 1
