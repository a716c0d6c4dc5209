"""`--set`, `--data` and `--model`: every value counts, or is refused; none is given way to without a word."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import SettingsError
from infra.config.overrides import read_overrides
from infra.fleet.choice import Choice

INVENTORY = "hosts: {gpu01: {data: /NAS/old, model: tiny, backend: {MASK_KEEP: clicked, CLICK_LIMIT: 8}}}\n"


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    path = tmp_path / "inventory.yaml"
    path.write_text(INVENTORY)
    return path


def choice(inventory: Path, *given: tuple[str, object]) -> Choice:
    return Choice(hosts=("gpu01",), inventory=inventory, overrides=given)


def test_values_win_over_the_inventory(inventory: Path) -> None:
    (host,) = choice(inventory, ("data", "/NAS/new"), ("model", "large"), ("port", "81")).select()
    assert (host.data, host.model, host.port) == (Path("/NAS/new"), "large", 81)


def test_mappings_and_lists_are_written_as_in_the_inventory(inventory: Path) -> None:
    given = (
        ("backend.MASK_KEEP", "all"),
        ("backend.CLICK_LIMIT", "null"),
        ("docker_users", "[ana, jorge]"),
        ("docker_daemon", "{live-restore: true}"),
    )
    (host,) = choice(inventory, *given).select()
    assert dict(host.backend) == {"MASK_KEEP": "all"}
    assert host.docker_users == ("ana", "jorge")
    assert host.docker_daemon["live-restore"] is True
    assert host.docker_daemon["log-driver"] == "json-file"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"model": "huge"}, "gpu01: --model: expected auto, demo, tiny, small, base-plus or large"),
        ({"data": ""}, "gpu01: --data: must be an absolute path on the host, without `..`"),
        ({"prot": "81"}, "gpu01: --set prot: is not a setting; did you mean port?"),
        ({"name": "x"}, "--set name: is not a setting; a host's name is its key in the inventory"),
        ({"port.x": "81"}, "gpu01: --set port.x: is not a setting; `./inv docs` lists them all"),
        (
            {"backend.MASK_KEPE": "all"},
            "gpu01: --set backend.MASK_KEPE: is not a setting of the backend; did you mean MASK_KEEP?",
        ),
        ({"backend.MASK_KEEP": "clickd"}, "gpu01: --set backend: MASK_KEEP must be all, largest or clicked"),
        ({"backend": "clicked"}, "gpu01: --set backend: expected mapping"),
        ({"docker_users": "ana"}, "gpu01: --set docker_users: expected list of users"),
    ],
)
def test_what_cannot_be_used_is_refused(inventory: Path, given: dict[str, object], says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        choice(inventory, *given.items()).select()
    assert str(caught.value) == says
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            [("data", "/a"), ("data", "/b")],
            "--data: is given twice on the command line (`--data` and `--set data=` are the same setting)",
        ),
        ([("port", "1"), ("port", "1")], "--set port: is given twice on the command line"),
        (
            [("backend.A", "1"), ("backend.A", "2")],
            "--set backend.A: is given twice on the command line",
        ),
        ([("backend", "x"), ("backend.A", "2")], "--set backend: is given twice on the command line"),
        (
            [("backend.A", "1"), ("backend", "{}")],
            "--set backend: is given twice on the command line",
        ),
    ],
)
def test_none_of_two_values_wins(given: list[tuple[str, object]], says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_overrides(given)
    assert str(caught.value) == f"{says}; nothing was done"
