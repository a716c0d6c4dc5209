"""Who has which address in the compose network.

The lower half of the subnet is Docker's to give out; a service that others name by its address has one of the upper
half. Without the two halves Docker could give a fixed address to another container while its owner is down.
"""

from __future__ import annotations

import ipaddress

# Each has the address with its number in the upper half: a new one goes to the end.
FIXED = ("sam2", "stand-in")


def gateway_of(subnet: str) -> str:
    """Return the address that Docker gives the server itself in `subnet`: the first one."""
    return str(next(ipaddress.IPv4Network(subnet).hosts()))


def address_of(subnet: str, service: str) -> str:
    """Return the fixed address of a service.

    Args:
        subnet: our compose network, /28 or larger.
        service: one of `FIXED`.
    """
    upper = list(ipaddress.IPv4Network(subnet).subnets())[1]
    return str(upper[FIXED.index(service)])


def dynamic_range(subnet: str) -> str:
    """Return the part of `subnet` from which Docker takes the addresses of all other containers."""
    return str(next(ipaddress.IPv4Network(subnet).subnets()))
