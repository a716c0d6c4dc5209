"""`serve` of a group: what it means for its hosts, and one clear error for each way to get it wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import SettingsError
from infra.config.docs import explain
from infra.config.inventory import Inventory, load_inventory
from infra.config.overrides import read_overrides

HOSTS = """
hosts:
  gpu01: {address: 10.0.0.11, model: tiny, backup_repository: /NAS/backup}
  gpu02: {address: 10.0.0.12, model: tiny, backup_repository: /NAS/backup}
  gpu03: {address: gpu03.lab.example, model: tiny}
"""


def read(folder: Path, groups: str, hosts: str = HOSTS) -> Inventory:
    path = folder / "inventory.yaml"
    path.write_text(f"{hosts}\ngroups: {groups}\n")
    return load_inventory(path)


def test_hosts_of_a_group_know_each_other(tmp_path: Path) -> None:
    """The head first, whatever the order of the group; ports and worker ports have defaults."""
    inventory = read(tmp_path, "{lab: {hosts: [gpu02, gpu01], serve: {head: gpu01}}}")
    second, first = inventory.select([], ["lab"], None, {})
    assert (first.name, first.is_worker, second.name, second.is_worker) == ("gpu01", False, "gpu02", True)
    assert first.serving is not None
    assert first.serving == second.serving
    assert first.serving.members == ("gpu01", "gpu02")
    assert first.serving.workers == ("gpu02",)
    assert first.serving.head_address == "10.0.0.11:6379"
    assert first.serving.ports == (*range(6379, 6388), *range(10100, 10164))


def test_a_worker_has_no_backup(tmp_path: Path) -> None:
    """And no TLS: nothing on it is worth a backup, and nothing is published."""
    inventory = read(tmp_path, "{lab: {hosts: [gpu01, gpu02], serve: {head: gpu01}}}")
    head, worker = inventory.select([], ["lab"], None, {})
    assert (head.backup_repository, worker.backup_repository) == ("/NAS/backup", None)


def test_a_host_of_no_such_group_serves_by_itself(tmp_path: Path) -> None:
    inventory = read(tmp_path, "{lab: {hosts: [gpu01, gpu02], serve: {head: gpu01}}}")
    (other,) = inventory.select(["gpu03"], [], None, {})
    assert (other.serving, other.is_worker) == (None, False)


def test_addresses_win_over_the_hosts_own(tmp_path: Path) -> None:
    addresses = "{gpu01: 192.168.7.1, gpu03: 192.168.7.3}"
    group = f"{{lab: {{hosts: [gpu01, gpu03], serve: {{head: gpu03, addresses: {addresses}, port: 7000}}}}}}"
    (host, _) = read(tmp_path, group).select([], ["lab"], None, {})
    assert host.serving is not None
    assert host.serving.addresses == {"gpu03": "192.168.7.3", "gpu01": "192.168.7.1"}
    assert host.serving.head_address == "192.168.7.3:7000"


def test_shared_cache_is_the_groups(tmp_path: Path) -> None:
    group = "{lab: {hosts: [gpu01, gpu02], serve: {head: gpu01, shared_cache: /NAS/cache/}}}"
    for host in read(tmp_path, group).select([], ["lab"], None, {}):
        assert host.serving is not None
        assert host.serving.shared_cache == "/NAS/cache"


GROUP = "{{lab: {{hosts: [gpu01, gpu02], serve: {0}}}}}"


@pytest.mark.parametrize(
    ("groups", "says"),
    [
        (GROUP.format("gpu01"), "groups.lab.serve: must be a mapping with `head`"),
        (GROUP.format("{}"), "groups.lab.serve.head: is missing"),
        (GROUP.format("{head: gpu03}"), "groups.lab.serve.head: is not a host of the group (gpu01, gpu02)"),
        (GROUP.format("{head: gpu01, prot: 1}"), "groups.lab.serve.prot: is not known here; there are head, addresses"),
        (GROUP.format("{head: gpu01, port: 80}"), "groups.lab.serve.port: expected whole number, 1024 to 65527"),
        (GROUP.format("{head: gpu01, worker_ports: 9000}"), "groups.lab.serve.worker_ports: expected two ports"),
        (GROUP.format("{head: gpu01, worker_ports: 9000-9001}"), "must be 16 ports or more"),
        (GROUP.format("{head: gpu01, worker_ports: 6380-6480}"), "overlap the 9 ports from 6379 on"),
        (GROUP.format("{head: gpu01, addresses: {gpu01: 127.0.0.1}}"), "the host's own address on the lab's network"),
        (GROUP.format("{head: gpu01, addresses: {gpu03: 10.0.0.3}}"), "addresses.gpu03: is not a host of the group"),
        (GROUP.format("{head: gpu01, addresses: {gpu02: 10.0.0.11}}"), "two hosts have the same address"),
        (GROUP.format("{head: gpu01, shared_cache: cache}"), "lab.serve.shared_cache: must be an absolute path"),
        ("{lab: {hosts: [gpu01], serve: {head: gpu01}}}", "groups.lab.serve: needs two hosts or more"),
        ("{lab: {hosts: [gpu01, gpu03], serve: {head: gpu01}}}", "groups.lab.serve.addresses.gpu03: is needed"),
        (
            "{lab: {hosts: [gpu01, gpu02], serve: {head: gpu01}}, b: {hosts: [gpu02, gpu01], serve: {head: gpu02}}}",
            "groups.b.serve: gpu02 serves in the group lab already",
        ),
    ],
)  # fmt: skip
def test_one_clear_error(tmp_path: Path, groups: str, says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, groups)
    assert says in str(caught.value)


def test_hosts_must_have_one_model(tmp_path: Path) -> None:
    hosts = HOSTS.replace("10.0.0.12, model: tiny", "10.0.0.12, model: small")
    with pytest.raises(SettingsError, match="`model` of gpu02 is not that of gpu01"):
        read(tmp_path, "{lab: {hosts: [gpu01, gpu02], serve: {head: gpu01}}}", hosts)


def test_shared_cache_is_no_part_of_the_images(tmp_path: Path) -> None:
    hosts = HOSTS.replace("model: tiny", "model: tiny, data: /NAS/images")
    group = "{lab: {hosts: [gpu01, gpu02], serve: {head: gpu01, shared_cache: /NAS/images/cache}}}"
    with pytest.raises(SettingsError, match=r"serve\.shared_cache: lies in the image folder /NAS/images"):
        read(tmp_path, group, hosts)


@pytest.mark.parametrize("key", ["serve", "serving", "_serving"])
def test_belongs_to_a_group(tmp_path: Path, key: str) -> None:
    """Neither a host nor the command line can say it."""
    hosts = HOSTS.replace("model: tiny}", f"model: tiny, {key}: {{head: gpu01}}}}")
    with pytest.raises(SettingsError, match=f"hosts.gpu03.{key}: is not a setting"):
        read(tmp_path, "{}", hosts)
    with pytest.raises(SettingsError, match=f"--set {key}: is not a setting"):
        read(tmp_path, "{}").select(["gpu01"], [], None, read_overrides([(key, "x")]))


def test_is_explained() -> None:
    said = explain("serve")
    assert all(name in said for name in ("head", "addresses", "worker_ports"))
