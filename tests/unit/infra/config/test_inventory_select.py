from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from core.errors import SettingsError
from infra.config.inventory import Inventory, load_inventory

TEXT = """
defaults: {user: ana, data: /NAS/set}
groups:
  gpu: {hosts: [gpu02, gpu01], gpu: require}
  cpu: {hosts: [cpu01]}
  none: {}
hosts:
  gpu01: {address: gpu01.lab.example}
  gpu02: {address: 10.0.0.2}
  cpu01: {address: 10.0.0.2, ssh_port: 2222}
"""


@pytest.fixture
def inventory(tmp_path: Path) -> Inventory:
    path = tmp_path / "inventory.yaml"
    path.write_text(TEXT)
    return load_inventory(path)


@pytest.fixture
def empty(tmp_path: Path) -> Inventory:
    path = tmp_path / "inventory.yaml"
    path.write_text("{}")
    return load_inventory(path)


def names(
    inventory: Inventory, hosts: Sequence[str] = (), groups: Sequence[str] = (), limit: str | None = None
) -> list[str]:
    return [host.name for host in inventory.select(hosts, groups, limit, {})]


def refusal(inventory: Inventory, *hosts: str, groups: Sequence[str] = (), limit: str | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        inventory.select(hosts, groups, limit, {})
    return str(caught.value)


def test_hosts_come_in_the_order_of_the_command_and_once(inventory: Inventory) -> None:
    assert names(inventory, ["cpu01", "gpu01"], ["gpu"]) == ["cpu01", "gpu01", "gpu02"]
    assert names(inventory, groups=["all"]) == ["gpu01", "gpu02", "cpu01"]
    assert names(inventory, ["gpu01", "gpu01"]) == ["gpu01"]


def test_limit_chooses_and_leaves_out(inventory: Inventory) -> None:
    assert names(inventory, groups=["all"], limit="gpu*,!gpu01") == ["gpu02"]
    assert names(inventory, groups=["all"], limit="!gpu01") == ["gpu02", "cpu01"]
    assert names(inventory, groups=["all"], limit="cpu01, gpu01") == ["gpu01", "cpu01"]
    assert names(inventory, limit="*01") == ["gpu01", "cpu01"]  # alone it chooses from every host


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        ("gpu1", "--limit gpu1: `gpu1` means none of gpu01, gpu02, cpu01"),
        ("gpu*,!gpu1", "--limit gpu*,!gpu1: `gpu1` means none of gpu01, gpu02, cpu01"),
        ("gpu01,!gpu*", "--limit leaves none of gpu01, gpu02, cpu01"),
    ],
)
def test_a_limit_that_means_nobody_is_a_slip(inventory: Inventory, limit: str, text: str) -> None:
    assert refusal(inventory, groups=["all"], limit=limit) == text


def test_the_command_line_may_say_user_and_port_of_a_known_host(inventory: Inventory) -> None:
    host = inventory.select(["root@gpu01:2200"], ["gpu"], None, {})[0]
    assert (host.name, host.user, host.ssh_port, host.address) == ("gpu01", "root", 2200, "gpu01.lab.example")
    assert (host.gpu, host.data) == ("require", Path("/NAS/set"))


def test_a_known_host_is_known_by_its_address_too(inventory: Inventory) -> None:
    assert names(inventory, ["root@gpu01.lab.example"]) == ["gpu01"]
    assert refusal(inventory, "root@10.0.0.2") == (
        "--host root@10.0.0.2: is the address of gpu02, cpu01; give one of these names"
    )


@pytest.mark.parametrize(
    ("text", "name", "address", "user", "port"),
    [
        ("root@gpu09", "gpu09", "gpu09", "root", None),
        ("root@gpu09.lab:2222", "gpu09.lab:2222", "gpu09.lab", "root", 2222),
        ("me@[fd00::9]", "fd00::9", "fd00::9", "me", None),
        ("me@[fd00::9]:2222", "[fd00::9]:2222", "fd00::9", "me", 2222),
        ("ana@lab@10.0.0.9", "10.0.0.9", "10.0.0.9", "ana@lab", None),
        ("LAB\\ana@gpu09", "gpu09", "gpu09", "LAB\\ana", None),
    ],
)
def test_a_host_outside_the_inventory_has_the_defaults(
    inventory: Inventory, text: str, name: str, address: str, user: str, port: int | None
) -> None:
    host = inventory.select([text], [], None, {"model": "tiny"})[0]
    assert (host.name, host.address, host.user, host.ssh_port) == (name, address, user, port)
    assert (host.data, host.model, host.gpu) == (Path("/NAS/set"), "tiny", "auto")


def test_a_bare_name_outside_the_inventory_is_taken_for_a_slip(inventory: Inventory, empty: Inventory) -> None:
    assert refusal(inventory, "gpu1") == (
        "--host gpu1: is not in the inventory (hosts: gpu01, gpu02, cpu01; groups: gpu, cpu, none, all); "
        "write USER@gpu1 for a host outside it"
    )
    host = empty.select(["gpu1"], [], None, {})[0]
    assert (host.name, host.user) == ("gpu1", None)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a@fd00::9", "must be [user@]name[:port], with an IPv6 address in brackets"),
        ("a@b:", "must be [user@]name[:port], with an IPv6 address in brackets"),
        ("", "must be [user@]name[:port], with an IPv6 address in brackets"),
        ("a@[b]", "has brackets around something that is not an IPv6 address"),
        ("a@b:0", "must have a port from 1 to 65535"),
        ("a@b:70000", "must have a port from 1 to 65535"),
        ("a@-oProxyCommand=x", "must be a host name or an IP address, without user and port"),
        ("a@b\n", "must be a host name or an IP address, without user and port"),
        ("-l@b", "must be a user name, without spaces, `:` or `/`"),
        ("a b@c", "must be a user name, without spaces, `:` or `/`"),
    ],
)
def test_what_is_no_host_is_refused(empty: Inventory, text: str, problem: str) -> None:
    assert refusal(empty, text) == f"--host {text}: {problem}"


def test_no_host_and_unknown_groups_are_refused(inventory: Inventory, empty: Inventory) -> None:
    """No host and unknown groups are refused with what there is."""
    there_is = "(hosts: gpu01, gpu02, cpu01; groups: gpu, cpu, none, all)"
    assert refusal(inventory) == f"no host was named; give --host, --group or --limit {there_is}"
    assert refusal(inventory, groups=["none"]) == f"no host was named; give --host, --group or --limit {there_is}"
    assert refusal(inventory, groups=["gpus"]) == f"--group gpus: there is no such group {there_is}"
    assert refusal(empty, groups=["all"]).endswith(f"({empty.path} names no hosts yet; groups: all)")


def test_one_stack_cannot_be_chosen_twice(inventory: Inventory) -> None:
    """One machine and project is not deployed to twice at once."""
    assert names(inventory, ["gpu02", "cpu01"]) == ["gpu02", "cpu01"]  # two ports are two machines
    assert refusal(inventory, "a@gpu09", "b@GPU09:22") == (
        "gpu09 and GPU09:22 are the same machine (GPU09, port 22) and project `labelrig`; "
        "name one of them, or give one another `project`"
    )


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ("backup_repository: 'sftp:nas:/backup'", True),
        ("backup_repository: /NAS/backup", False),  # it may be a disk of each machine's own
        ("backup_repository: 'sftp:nas:/backup', project: other", False),
    ],
)
def test_repository_is_of_one_stack(tmp_path: Path, settings: str, problem: bool) -> None:
    """Else one machine's backups could be taken for another's: also where the command names one of the two alone."""
    path = tmp_path / "inventory.yaml"
    path.write_text(TEXT.replace("gpu01.lab.example", f"gpu01.lab.example, {settings}"))
    repository = settings.partition("'")[2].partition("'")[0] or "/NAS/backup"
    for chosen in (["gpu01"], ["gpu01", "cpu01"]):
        assert names(load_inventory(path), chosen) == chosen
    path.write_text(
        path.read_text().replace("address: 10.0.0.2}", f"address: 10.0.0.2, backup_repository: '{repository}'}}")
    )
    for chosen in (["gpu01"], ["gpu02", "gpu01"]):
        if not problem:
            assert names(load_inventory(path), chosen) == chosen
            continue
        assert refusal(load_inventory(path), *chosen) == (
            f"{chosen[0]} and {'gpu02' if len(chosen) == 1 else 'gpu01'} keep backups of a stack `labelrig` in one "
            "repository (sftp:nas:/backup); give each a `backup_repository` of its own or another `project`, or take "
            "the one that is gone out of the inventory"
        )


def test_wrong_value_is_named_by_its_option(inventory: Inventory) -> None:
    """What is wrong on the command line is named by its option."""
    with pytest.raises(SettingsError) as caught:
        inventory.select(["gpu01"], [], None, {"port": "eighty", "ssh_port": 0, "data": "x"})
    assert str(caught.value) == (
        "gpu01: 3 settings cannot be used:\n"
        "  - --data: must be an absolute path on the host, without `..`\n"
        "  - --set port: expected whole number, 1 to 65535\n"
        "  - --set ssh_port: expected whole number, 1 to 65535"
    )
    with pytest.raises(SettingsError) as caught:
        inventory.select(["gpu01"], [], None, {"name": "gpu02"})
    assert str(caught.value) == "--set name: is not a setting; a host's name is its key in the inventory"


def test_numbers_of_the_command_line_may_be_text(inventory: Inventory) -> None:
    assert inventory.select(["gpu01"], [], None, {"port": "81"})[0].port == 81
