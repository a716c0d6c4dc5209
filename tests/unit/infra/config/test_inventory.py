from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from core.errors import SettingsError
from core.repository import REPOSITORY
from infra.config.host_settings import HostSettings, setting_fields
from infra.config.inventory import Inventory, load_inventory
from infra.config.settings import Settings
from infra.config.stack_settings import StackSettings


def written(folder: Path, text: str) -> Path:
    path = folder / "inventory.yaml"
    path.write_text(text)
    return path


def problems(folder: Path, text: str) -> list[str]:
    path = written(folder, text)
    with pytest.raises(SettingsError) as caught:
        load_inventory(path)
    assert caught.value.exit_code == 2
    lines = str(caught.value).splitlines()
    return [line.removeprefix("  - ").removeprefix(f"{path}: ") for line in (lines if len(lines) == 1 else lines[1:])]


def one(inventory: Inventory, name: str, **overrides: object) -> HostSettings:
    return inventory.select([name], [], None, overrides)[0]


def test_the_shipped_inventory_is_valid_and_so_is_its_example(tmp_path: Path) -> None:
    shipped = REPOSITORY / "infra" / "inventory.yaml"
    assert load_inventory(shipped).hosts == {}
    example = "\n".join(line[4:] for line in shipped.read_text().splitlines() if line.startswith("#   "))
    inventory = load_inventory(written(tmp_path, example))
    assert one(inventory, "gpu02").backend == {"EMBEDDING_CACHE_DISK_MB": "200000"}


def test_the_example_of_the_document_is_valid(tmp_path: Path) -> None:
    document = (REPOSITORY / "docs" / "inventory.md").read_text()
    example = document.split("```yaml\n")[1].split("```")[0]
    inventory = load_inventory(written(tmp_path, example))
    assert [host.gpu for host in inventory.select([], ["gpu"], None, {})] == ["require", "require"]


def test_an_empty_file_names_no_hosts(tmp_path: Path) -> None:
    assert load_inventory(written(tmp_path, "# nothing yet\n")).hosts == {}


def test_the_later_word_wins(tmp_path: Path) -> None:
    text = """
    defaults: {model: tiny, user: ana, port: 1000, keep_releases: 3, ssh_port: 22}
    groups:
      first: {hosts: [a, b], model: small, port: 1001, keep_releases: 4}
      second: {hosts: [a], model: large, port: 1002}
    hosts:
      a: {port: 1003, ssh_port: 2200}
      b:
    """
    inventory = load_inventory(written(tmp_path, text))
    a = one(inventory, "a", ssh_port=2201, data=None)
    assert (a.user, a.keep_releases, a.model, a.port, a.ssh_port) == ("ana", 4, "large", 1003, 2201)
    b = one(inventory, "b")
    assert (b.model, b.port, b.database, b.address) == ("small", 1001, "postgres", "b")


def test_groups_count_in_the_order_of_the_file(tmp_path: Path) -> None:
    """Groups count in the order of the file and not of the command."""
    text = "{groups: {x: {hosts: [a], port: 1}, y: {hosts: [a], port: 2}}, hosts: {a: }}"
    assert load_inventory(written(tmp_path, text)).select([], ["y", "x"], None, {})[0].port == 2


def test_mappings_are_merged_and_null_takes_a_key_out(tmp_path: Path) -> None:
    text = """
    defaults: {backend: {MASK_KEEP: clicked, LOG_LEVEL: DEBUG, CROP_SMALL_OBJECTS: true}}
    hosts:
      a: {backend: {LOG_LEVEL: null, EMBED_BATCH: 4}, docker_daemon: {log-opts: {max-file: 5}, live-restore: true}}
      b: {docker_daemon: {log-driver: journald, log-opts: null}, docker_users: [ana]}
    """
    inventory = load_inventory(written(tmp_path, text))
    a, b = one(inventory, "a"), one(inventory, "b")
    assert a.backend == {"MASK_KEEP": "clicked", "CROP_SMALL_OBJECTS": "true", "EMBED_BATCH": "4"}
    assert a.docker_daemon == {
        "log-driver": "json-file",
        "log-opts": {"max-size": "10m", "max-file": "5"},  # text: the engine refuses a number here
        "live-restore": True,
    }
    assert b.docker_daemon == {"log-driver": "journald"}
    assert b.docker_users == ("ana",)


def test_free_keys_and_anchors_carry_settings(tmp_path: Path) -> None:
    """Free keys and anchors carry settings and mean nothing themselves."""
    text = """
    x-base: &base {user: ana, x-why: lab rule}
    defaults: {x-note: hello, backend: {x-note: hello}}
    groups: {x-old: 3}
    hosts:
      x-retired: {whatever: 1}
      a: {<<: *base, user: jorge}
      b: *base
    """
    inventory = load_inventory(written(tmp_path, text))
    assert list(inventory.hosts) == ["a", "b"]
    assert (one(inventory, "a").user, one(inventory, "b").user) == ("jorge", "ana")
    assert one(inventory, "a").backend == {}


def test_every_problem_is_named_at_once_with_its_path(tmp_path: Path) -> None:
    text = """
    defaults: {prot: 1, port: true, model: huge}
    groups:
      all: {}
      g: {host: [a], hosts: [a, b, {}], gpu: 3}
      h: {hosts: a}
    hosts:
      a b: {}
      a: {ssh-port: 22, name: x, port: 70000, backend: {mask-keep: all, NOPE: 1, MASK_KEEP: [1]}, keep_releases: 1}
      c: nothing
    more: {}
    """
    assert problems(tmp_path, text) == [
        "more: is not a part of an inventory; known: defaults, groups, hosts",
        "defaults.model: expected auto, demo, tiny, small, base-plus or large",
        "defaults.port: must be a number, not true or false",
        "defaults.prot: is not a setting; did you mean port?",
        "hosts.a b: is not a name: letters, digits, `.`, `-`, `_`",
        "hosts.a.name: is not a setting; a host's name is its key",
        "hosts.a.port: expected whole number, 1 to 65535",
        "hosts.a.backend.mask-keep: is not a setting of the backend; did you mean MASK_KEEP?",
        "hosts.a.backend.NOPE: is not a setting of the backend; docs/backend.md lists them",
        "hosts.a.backend.MASK_KEEP: must be text, a number, true or false",
        "hosts.a.keep_releases: expected whole number, 2 or more",
        "hosts.a.ssh-port: is not a setting; did you mean ssh_port?",
        "hosts.c: must be a mapping of names to values",
        "groups.all: means every host already",
        "groups.g.hosts.1: is not one of the hosts (a b, a, c)",
        "groups.g.hosts.2: is not one of the hosts (a b, a, c)",
        "groups.g.gpu: expected auto, require or off",
        "groups.g.host: is not a setting; did you mean hosts?",
        "groups.h.hosts: must be a list of host names",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[a, b]", "the inventory: must be a mapping of names to values"),
        ("hosts: [a]", "hosts: must be a mapping of names to values"),
        ("defaults: {address: a}", "defaults.address: belongs to one host; set it below `hosts`"),
        ("groups: {g: {address: a}}", "groups.g.address: belongs to one host; set it below `hosts`"),
        ("hosts: {a: {zzz: 1}}", "hosts.a.zzz: is not a setting; `./inv docs` lists them all"),
        ("hosts: {a: {user: 5}}", "hosts.a.user: expected user name"),
        ("hosts: {a: {port: eighty}}", "hosts.a.port: expected whole number, 1 to 65535"),
        ("hosts: {a: {port: null}}", "hosts.a.port: expected whole number, 1 to 65535"),
        ("hosts: {a: {docker_users: [5]}}", "hosts.a.docker_users.0: must be a valid string"),
        ("hosts: {a: {docker_users: ana}}", "hosts.a.docker_users: expected list of users"),
        ("hosts: {a: {docker_users: [ana, 'b c']}}", "hosts.a.docker_users.1: must be the name of a user on the host"),
        ("hosts: {a: {backend: 3}}", "hosts.a.backend: expected mapping"),
        ("hosts: {a: {manage_docker: perhaps}}", "hosts.a.manage_docker: expected true or false"),
    ],
)
def test_a_wrong_kind_is_named(tmp_path: Path, text: str, problem: str) -> None:
    assert problems(tmp_path, text) == [problem]


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "ssh_password",
        "sudo-passwd",
        "LABELRIG_SSH_PASSPHRASE",
        "token",
        "api_key",
        "ApiKey",
        "SECRET",
        "backup_password",
    ],
)
def test_a_secret_has_no_place_and_is_not_shown(tmp_path: Path, key: str) -> None:
    text = f"{{defaults: {{{key}: hunter22}}, hosts: {{secretlab: {{docker_daemon: {{a: {{{key}: hunter22}}}}}}}}}}"
    found = problems(tmp_path, text)
    assert found == [
        f"defaults.{key}: looks like a secret; it belongs in .env, never in this file",
        f"hosts.secretlab.docker_daemon.a.{key}: looks like a secret; it belongs in .env, never in this file",
    ]


WITH_EXAMPLE = {"public_url": {"tls": "internal"}, "tls": {"public_url": "https://label.lab.example"}}
EXAMPLES = [(name, value) for name, field in setting_fields().items() for value in field.examples or ()]


@pytest.mark.parametrize(("name", "value"), EXAMPLES, ids=[f"{name}-{value}" for name, value in EXAMPLES])
def test_documented_example_is_taken(tmp_path: Path, name: str, value: object) -> None:
    """From a file, in each place where the setting may stand: a name such as `backup_password_file` is no secret."""
    with_it = {name: value, **WITH_EXAMPLE.get(name, {})}
    files: list[dict[str, object]] = [{"hosts": {"a": with_it}}]
    if name != "address":
        files += [{"defaults": with_it, "hosts": {"a": None}}]
        files += [{"groups": {"g": {"hosts": ["a"], **with_it}}, "hosts": {"a": None}}]
    taken = [getattr(one(load_inventory(written(tmp_path, yaml.safe_dump(text))), "a"), name) for text in files]
    assert taken == taken[:1] * len(files)
    assert taken[0] != getattr(one(load_inventory(written(tmp_path, "hosts: {a: }")), "a"), name)


def test_no_setting_of_a_host_is_a_secret() -> None:
    """What the inventory takes by name may be shown; a secret would be of a kind that hides itself."""
    kinds = {name: repr(field.annotation) for name, field in setting_fields().items()}
    assert [name for name, kind in kinds.items() if "Secret" in kind] == []


def test_no_value_is_shown(tmp_path: Path) -> None:
    text = "hosts: {a: {data: hunter22, user: [hunter22], jump: 'hunter22 x', checkpoint_url: 'http://me:hunter22@x'}}"
    found = problems(tmp_path, text)
    assert len(found) == 4
    assert "hunter22" not in "".join(found)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"inventory\.yaml: cannot be read: No such file or directory$"):
        load_inventory(tmp_path / "inventory.yaml")
    (tmp_path / "inventory.yaml").write_bytes(b"hosts:\n  # se\xf1al\n")
    with pytest.raises(SettingsError, match=r"inventory\.yaml: line 2: is not UTF-8 text; save the file as UTF-8$"):
        load_inventory(tmp_path / "inventory.yaml")
    (tmp_path / "inventory.yaml").write_bytes("hosts:\r\n  gpu01: {address: 10.0.0.5}\r\n".encode("utf-16"))
    assert list(load_inventory(tmp_path / "inventory.yaml").hosts) == ["gpu01"]


def test_host_and_this_machine_share_defaults() -> None:
    differ = {
        name
        for name, field in StackSettings.model_fields.items()
        if field.default != setting_fields()[name].default or field.default != Settings.model_fields[name].default
    }
    assert differ == {"database"}  # several people work on a host


def test_names_of_env_have_no_place_in_the_inventory(tmp_path: Path) -> None:
    found = problems(tmp_path, "defaults: {LABELRIG_DATA: /x, LABEL_STUDIO_PORT: 1}")
    assert [problem.partition(";")[0] for problem in found] == [
        "defaults.LABELRIG_DATA: is not a setting",
        "defaults.LABEL_STUDIO_PORT: is not a setting",
    ]
