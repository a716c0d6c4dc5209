"""Which addresses Label Studio may not call: all private ones but the SAM2 backend's.

Label Studio refuses ML backends on private addresses (`ML_BLOCK_LOCAL_IP`, on since 1.23.1). Turning the
guard off would also open the metadata service and the lab's network to anyone who may add a backend. Instead
its default list is replaced by the same list without one address. The guard is also that of imports by URL and of
webhooks: the database, Label Studio itself and the server (the subnet's gateway) stay shut to those.
"""

from __future__ import annotations

import ipaddress

from infra.roles.stack.addresses import address_of

# The IANA special-purpose address registries (RFC 6890 and its updates), as Label Studio 1.23.2 blocks them.
RESERVED = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "233.252.0.0/24",
    "240.0.0.0/4",
    "255.255.255.255/32",
    "::/128",
    "::1/128",
    "::ffff:0:0/96",
    "::ffff:0:0:0/96",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "2001::/32",
    "2001:20::/28",
    "2001:db8::/32",
    "2002::/16",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
)


def banned_subnets(subnet: str) -> list[str]:
    """Return every reserved network without the address of the SAM2 backend.

    Args:
        subnet: our compose network, a private IPv4 network.

    Returns:
        Networks in CIDR form; together they cover exactly the reserved ranges minus that address.
    """
    backend = ipaddress.IPv4Network(address_of(subnet, "sam2"))
    networks: list[str] = []
    for text in RESERVED:
        network = ipaddress.ip_network(text)
        if isinstance(network, ipaddress.IPv4Network) and backend.subnet_of(network):
            networks += sorted(str(part) for part in network.address_exclude(backend))
        else:
            networks.append(text)
    return networks
