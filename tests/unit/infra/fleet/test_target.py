"""From a host of the inventory to a connection and a stack: no setting is forgotten on the way."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from core.errors import SettingsError
from core.repository import REPOSITORY
from hosts.ssh_connect import SshTarget
from infra.config.host_settings import HostSettings, setting_fields
from infra.config.settings import LoginSecrets, Settings
from infra.fleet.target import base_folder, connect_to, demo_folder, own_images, settings_of, site_of
from tests.unit.infra.deploy_bench import LabHost, host_settings

# Setting of the inventory -> another value than the default, and where it goes: a field of SshTarget or of Settings.
SSH: dict[str, tuple[object, str]] = {
    "address": ("10.0.0.5", "address"),
    "user": ("ana", "user"),
    "ssh_port": (2222, "port"),
    "ssh_key": ("/home/ana/.ssh/lab", "key"),
    "jump": ("ana@gate.lab:2200", "jump"),
    "known_hosts": ("/etc/lab/known_hosts", "known_hosts"),
    "connect_timeout": (42.0, "connect_timeout"),
}
STACK: dict[str, tuple[object, str]] = {
    "project": ("trial", "project"),
    "data": ("/NAS/home/me/RGB_T_SAR", "data"),
    "model": ("large", "model"),
    "checkpoint_url": ("http://mirror.lab/sam2", "checkpoint_url"),
    "subnet": ("10.77.0.0/24", "subnet"),
    "port": (8090, "port"),
    "listen": ("10.0.0.5", "listen"),
    "username": ("ana@lab.example", "username"),
    "database": ("sqlite", "database"),
    "gpu": ("require", "gpu"),
    "backend": ({"MASK_KEEP": "clicked"}, "backend"),
    "companion": (False, "companion"),
    "log_file_mb": (100, "log_file_mb"),
    "memory_gb": (16, "memory_gb"),
    "public_url": ("https://label.lab.example", "public_url"),
    "tls": ("internal", "tls"),
    "tls_certificate": ("/etc/ssl/label.crt", "tls_certificate"),
    "tls_key": ("/etc/ssl/label.key", "tls_key"),
    "image_updates": ("keep", "image_updates"),
    "backup_repository": ("/NAS/backup", "backup_repository"),
    "backup_password_file": ("/etc/labelrig/password", "backup_password_file"),
    "backup_environment_file": ("/etc/labelrig/backup.env", "backup_environment_file"),
    "backup_schedule": ("03:30", "backup_schedule"),
    "backup_keep": ("1d 1w 1m", "backup_keep"),
}
# What the deployment itself looks at.
DEPLOYMENT = {
    "docker_daemon",
    "docker_users",
    "hooks",
    "images",
    "keep_releases",
    "label_studio_image",
    "manage_docker",
    "root",
    "sam2_image",
}


def ssh_target(monkeypatch: pytest.MonkeyPatch, one: HostSettings, secrets: LoginSecrets, **options: Any) -> SshTarget:
    """What an SshHost would be made with."""
    made: list[SshTarget] = []

    def keep(where: SshTarget, *, run_id: str, notice: object) -> LabHost:
        assert (run_id, notice) == ("run-1", print)
        made.append(where)
        return LabHost()

    monkeypatch.setattr("hosts.ssh.SshHost", keep)
    connect_to(one, secrets, "run-1", print, **options)
    return made[0]


def with_setting(name: str, value: object) -> HostSettings:
    """The usual host with one more setting."""
    return HostSettings.model_validate({**host_settings().model_dump(), name: value})


def differing(one: object, other: object) -> set[str]:
    names = (
        [field.name for field in dataclasses.fields(one)]
        if dataclasses.is_dataclass(one)
        else list(type(one).model_fields)  # type: ignore[attr-defined]
    )
    return {name for name in names if getattr(one, name) != getattr(other, name)}


def test_every_setting_of_a_host_is_one_that_this_test_knows() -> None:
    """A new setting belongs into one of the three tables, and its way is tested there."""
    assert sorted([*SSH, *STACK, *DEPLOYMENT]) == sorted(setting_fields())


def test_every_field_of_a_target_is_given_but_the_keepalive() -> None:
    given = {where for _, where in SSH.values()}
    by_other_ways = {"name", "keepalive", "accept_new_host_key", "ssh_password", "key_passphrase", "sudo_password"}
    assert given | by_other_ways == {field.name for field in dataclasses.fields(SshTarget)}


@pytest.mark.parametrize("name", SSH)
def test_settings_of_the_connection_go_there_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is about the connection goes there and nowhere else."""
    value, where = SSH[name]
    usual, other = host_settings(), with_setting(name, value)
    before, after = (ssh_target(monkeypatch, one, LoginSecrets()) for one in (usual, other))
    assert differing(before, after) == {where}
    assert getattr(after, where) == getattr(other, name)
    assert settings_of(usual) == settings_of(other)


@pytest.mark.parametrize("name", STACK)
def test_settings_of_the_stack_go_there_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is about the stack goes there and nowhere else."""
    value, where = STACK[name]
    usual, other = host_settings(), with_setting(name, value)
    before, after = settings_of(usual), settings_of(other)
    assert differing(before, after) == {where}
    if name != "backend":
        assert str(getattr(after, where)) == str(value)
    assert ssh_target(monkeypatch, usual, LoginSecrets()) == ssh_target(monkeypatch, other, LoginSecrets())


@pytest.mark.parametrize("name", sorted(DEPLOYMENT))
def test_what_is_about_the_deployment_is_looked_at_there(name: str) -> None:
    packages = (REPOSITORY / "infra" / name for name in ("deploy", "fleet"))
    sources = [path.read_text() for package in packages for path in package.glob("*.py")]
    assert any(re.search(rf"\bhost_settings\.{name}\b", text) for text in sources)


def test_every_setting_of_a_stack_is_taken_over() -> None:
    """The defaults of `up` and `deploy` differ: a field that is not taken over would be `up`'s."""
    made_there = {"password", "secret_key", "api_key", "postgres_password", "backend_password", "cluster_token", "uid"}
    kept_on_the_host = made_there | {"backup_password", "metrics_token"}
    given = {where for _, where in STACK.values()}
    assert given | kept_on_the_host == set(Settings.model_fields)
    settings = settings_of(host_settings(data="/NAS/x", backend={"EMBEDDING_CACHE_DISK_MB": 200000}))
    assert settings.database == "postgres"
    assert dict(settings.backend) == {"EMBEDDING_CACHE_DISK_MB": "200000"}
    assert settings == Settings.model_validate(settings.model_dump(by_alias=True))


def test_passwords_of_the_login_come_from_env(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = LoginSecrets.model_validate(
        {"LABELRIG_SSH_PASSWORD": "s1", "LABELRIG_SSH_PASSPHRASE": "s2", "LABELRIG_SUDO_PASSWORD": "s3"}
    )
    made = ssh_target(monkeypatch, host_settings(), secrets, accept_new_host_key=True)
    passwords = (made.ssh_password, made.key_passphrase, made.sudo_password)
    assert passwords == (SecretStr("s1"), SecretStr("s2"), SecretStr("s3"))
    assert (made.name, made.accept_new_host_key) == ("gpu01", True)
    assert not any(secret in repr(made) + repr(secrets) for secret in ("s1", "s2", "s3"))
    assert ssh_target(monkeypatch, host_settings(), LoginSecrets()).accept_new_host_key is False


def test_folders_and_images_of_a_stack() -> None:
    one = host_settings("/srv/labelrig", project="trial")
    assert base_folder(one) == "/srv/labelrig/trial"
    assert demo_folder(one) == "/srv/labelrig/trial-demo/images"
    assert not demo_folder(one).startswith(base_folder(one) + "/")  # root alone may enter that one
    assert own_images(one) == {}
    own = host_settings(label_studio_image="lab/ls:1", sam2_image="lab/sam2:2")
    assert own_images(own) == {"label-studio": "lab/ls:1", "sam2": "lab/sam2:2"}


def test_site_reads_its_secrets_from_the_host(tmp_path: Path) -> None:
    """A site takes its secrets from the host and reads them anew."""
    one = host_settings(tmp_path, backend={"MASK_KEEP": "clicked"}, port=8090)
    made: Any = LabHost()
    site = site_of(made, one)
    assert (site.settings.password, site.settings.api_key) == (None, None)
    assert site.state == f"{tmp_path}/labelrig"
    assert site.stack_folder == f"{tmp_path}/labelrig/current"
    assert site.env_file == f"{tmp_path}/labelrig/secrets.env"
    secrets = tmp_path / "labelrig" / "secrets.env"
    secrets.parent.mkdir()
    secrets.write_text("LABEL_STUDIO_PASSWORD='pa$s word'\nLABELRIG_POSTGRES_PASSWORD='of_postgres'\n")
    for settings in (site.reload(), site_of(made, one).settings):
        assert settings.password == SecretStr("pa$s word")
        assert settings.postgres_password == SecretStr("of_postgres")
        assert (settings.port, dict(settings.backend)) == (8090, {"MASK_KEEP": "clicked"})
    assert "pa$s" not in repr(site)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("LABEL_STUDIO_PASSWORD='short'\n", "LABEL_STUDIO_PASSWORD"),
        ("LABELRIG_NOTHING='hunter2hunter2'\n", "LABELRIG_NOTHING"),
        ("hunter2hunter2\n", "line 1"),
    ],
)
def test_bad_secrets_are_named_without_value(tmp_path: Path, text: str, problem: str) -> None:
    """Secrets that cannot be used are named without their value."""
    secrets = tmp_path / "labelrig" / "secrets.env"
    secrets.parent.mkdir()
    secrets.write_text(text)
    made: Any = LabHost()
    with pytest.raises(SettingsError, match=problem) as caught:
        site_of(made, host_settings(tmp_path))
    assert "secrets.env" in str(caught.value)
    assert "hunter2" not in str(caught.value)
