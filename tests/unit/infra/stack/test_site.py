"""One stack on one host: its files, its secrets, and what is rendered from what lies there."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from core.errors import SettingsError
from core.report import Report
from core.repository import REPOSITORY
from hosts.local import LocalHost
from infra.config.settings import Settings
from infra.roles.images.build import ImageSet
from infra.roles.images.tags import Base
from infra.roles.stack.image_folders import ImageFolder
from infra.stack.site import Site, local_site, read_secrets, rendered, state_folder, with_secrets
from tests.fakes import FakeHost

SECRETS = {
    "LABEL_STUDIO_PASSWORD": "one-two-three",
    "LABEL_STUDIO_SECRET_KEY": "four-five-six",
    "LABELRIG_POSTGRES_PASSWORD": "seven-eight-nine",
    "LABELRIG_BACKEND_PASSWORD": "ten-eleven-twelve",
}
IMAGES = ImageSet(
    {"label-studio": "ls:1", "sam2": "sam2:1", "proxy": "px:1", "db": "pg:1"},
    Base("official", "a", "b"),
    REPOSITORY,
    "labelrig",
)


def site_on(host: LocalHost | FakeHost, folder: str, **settings: object) -> Site:
    chosen = with_secrets(Settings.model_validate(settings), SECRETS)
    return Site(host, chosen, folder, f"{folder}/current", f"{folder}/secrets.env", lambda: chosen)


def test_the_files_follow_from_the_database_and_the_gpu() -> None:
    site = site_on(FakeHost(), "/srv/x")
    assert site.files.compose == tuple(f"/srv/x/current/{name}.yaml" for name in ("compose", "proxy", "machine"))
    assert site.services == ("sam2", "label-studio", "proxy")
    both = replace(site_on(FakeHost(), "/srv/x", LABELRIG_DATABASE="postgres"), gpu=True)
    assert both.files.compose == tuple(
        f"/srv/x/current/{name}.yaml" for name in ("compose", "postgres", "gpu", "proxy", "machine")
    )
    assert both.services == ("db", "sam2", "label-studio", "proxy")
    before = replace(site, proxy=False)  # of a version that published Label Studio itself
    assert before.files.compose == ("/srv/x/current/compose.yaml", "/srv/x/current/machine.yaml")
    assert before.files.unused == tuple(f"/srv/x/current/{name}.yaml" for name in ("postgres", "gpu", "proxy", "tls"))
    https = {"LABELRIG_PUBLIC_URL": "https://a.lab", "LABELRIG_TLS": "internal"}
    assert site_on(FakeHost(), "/srv/x", **https).files.overrides == ("proxy.yaml", "tls.yaml")
    assert site_on(FakeHost(), "/srv/x", **https | {"LABELRIG_TLS": "proxy"}).files.overrides == ("proxy.yaml",)


def test_local_stack_lies_in_the_clone() -> None:
    """This machine's stack lies in the clone and shows no secret."""
    settings = with_secrets(Settings(), SECRETS)
    site = local_site(FakeHost(), settings, environment={"LABELRIG_ENV_FILE": "/clone/.env"})
    assert site.state == site.stack_folder == str(state_folder(settings)) == str(REPOSITORY / ".labelrig" / "labelrig")
    assert site.env_file == "/clone/.env"
    assert not any(secret in repr(site) for secret in SECRETS.values())


def test_local_stack_is_what_was_rendered_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stack from before the proxy can be stopped and looked at with the files that it has."""
    monkeypatch.setattr("infra.stack.site.state_folder", lambda _: tmp_path)
    settings = with_secrets(Settings(), SECRETS)

    def overrides() -> tuple[str, ...]:
        return local_site(FakeHost(), settings, environment={}).files.overrides

    assert overrides() == ("proxy.yaml",)  # nothing yet: as the next `up` renders it
    (tmp_path / "compose.yaml").touch()
    assert overrides() == ()
    (tmp_path / "proxy.yaml").touch()
    (tmp_path / "gpu.yaml").touch()
    assert overrides() == ("gpu.yaml", "proxy.yaml")


def test_commands_in_containers_go_through_compose() -> None:
    """A command in a container goes through compose with the files of the stack."""
    host = FakeHost()
    host.script("docker", "compose", "version", "--short", stdout="2.26.1\n")
    argv = (
        *("docker", "compose", "--project-name", "labelrig", "--env-file", "/srv/x/current/stack.env"),
        *("--file", "/srv/x/current/compose.yaml", "--file", "/srv/x/current/proxy.yaml"),
        *("--file", "/srv/x/current/machine.yaml"),
        *("exec", "--no-TTY", "sam2", "false"),
    )
    host.script(*argv, exit_code=1)
    assert site_on(host, "/srv/x").exec_in("sam2")("false", ok=(0, 1)).exit_code == 1


def test_a_host_before_its_first_deploy_has_no_secrets() -> None:
    assert read_secrets(FakeHost(), "/srv/x/secrets.env") == {}


def test_the_secrets_of_a_host_are_read_as_root_there() -> None:
    class Strict(FakeHost):
        is_local = False

        def read(self, path: str, *, as_root: bool = False) -> bytes | None:
            assert as_root
            return super().read(path)

    host = Strict()
    host.files["/srv/x/secrets.env"] = b"# made once\nLABEL_STUDIO_PASSWORD='pa$s word'\n"
    assert read_secrets(host, "/srv/x/secrets.env") == {"LABEL_STUDIO_PASSWORD": "pa$s word"}


def test_broken_secrets_name_the_host() -> None:
    """A broken line in the secrets of a host is named with the host."""
    host = FakeHost()
    host.files["/s.env"] = b"LABEL_STUDIO_PASSWORD='hunter2-hunter2\n"
    with pytest.raises(SettingsError) as caught:
        read_secrets(host, "/s.env")
    assert str(caught.value) == "fake host:/s.env: line 1 is not KEY=value; see .env.example for the form"


def test_secrets_are_added_and_everything_else_stays() -> None:
    plain = Settings.model_validate(
        {
            "LABELRIG_PROJECT": "mine",
            "LABELRIG_DATA": "/NAS/x",
            "LABEL_STUDIO_PORT": 9000,
            "LABEL_STUDIO_PASSWORD": "an-older-one",
            "LABEL_STUDIO_API_KEY": "token-token",
            "LABELRIG_CHECKPOINT_URL": "http://mirror.lab/sam2",
            "backend": {"MASK_KEEP": "clicked"},
        }
    )
    full = with_secrets(plain, SECRETS)
    assert full.password is not None
    assert full.password.get_secret_value() == "one-two-three"
    assert full.api_key == plain.api_key
    secret = {"password", "secret_key", "postgres_password", "backend_password"}
    for name in set(Settings.model_fields) - secret:
        assert getattr(full, name) == getattr(plain, name), name
    assert with_secrets(full, {}) == full


@pytest.mark.parametrize(
    ("secrets", "problem"),
    [
        (
            {"LABEL_STUDIO_PASSWORD": "hunter2"},
            "LABEL_STUDIO_PASSWORD: is shorter than 8 characters or a placeholder; delete the line to have one made",
        ),
        (
            {"LABEL_STUDIO_PASWORD": "hunter2-hunter2"},
            "LABEL_STUDIO_PASWORD: is not a setting; did you mean LABEL_STUDIO_PASSWORD?",
        ),
        ({"LABEL_STUDIO_PORT": "81"}, "LABEL_STUDIO_PORT: is no secret and belongs in infra/inventory.yaml"),
        (
            {"LABEL_STUDIO_PASSWORD": "it's-hunter2"},
            "LABEL_STUDIO_PASSWORD: may hold no single quote and no line break or other control character, begin or "
            "end with no space and end with no backslash; choose another, or delete the line to have one made",
        ),
    ],
)
def test_bad_secret_is_named_and_not_shown(secrets: dict[str, str], problem: str) -> None:
    """A secret that cannot be used is named and not shown."""
    with pytest.raises(SettingsError) as caught:
        with_secrets(Settings(), secrets)
    assert str(caught.value) == f"the host's secrets.env cannot be used: {problem}"


def test_renders_all_but_folders_that_are_gone(tmp_path: Path) -> None:
    """Everything is rendered and a folder that is gone is left out with a notice."""
    for name in ("open", "for our group"):
        (tmp_path / name).mkdir()
    (tmp_path / "open").chmod(0o755)
    os.chown(tmp_path / "for our group", -1, 4242)
    (tmp_path / "for our group").chmod(0o750)
    folders = [
        ImageFolder(name, str(tmp_path / path)) for name, path in (("a", "open"), ("b", "gone"), ("c", "for our group"))
    ]
    report = Report(io.StringIO())
    site = site_on(LocalHost(), str(tmp_path), LABELRIG_DATABASE="postgres", backend={"MASK_KEEP": "clicked"})
    files = {Path(one.path).name: one for one in rendered(site, IMAGES, "tiny", folders, report)}

    assert list(files) == ["stack.env", "compose.yaml", "postgres.yaml", "proxy.yaml", "machine.yaml", "folders.json"]
    assert {one.path for one in files.values()} == {f"{tmp_path}/current/{name}" for name in files}
    assert [name for name, one in files.items() if one.mode != 0o644] == ["stack.env"]
    assert files["stack.env"].mode == 0o600
    env = files["stack.env"].content.decode()
    for line in (
        "LABELRIG_LABEL_STUDIO_IMAGE='ls:1'",
        "LABELRIG_POSTGRES_IMAGE='pg:1'",
        "LABELRIG_POSTGRES_PASSWORD='seven-eight-nine'",
        "LABELRIG_SAM2_MODEL='tiny'",
        "LABEL_STUDIO_PASSWORD='one-two-three'",
    ):
        assert f"{line}\n" in env
    services = yaml.safe_load(files["machine.yaml"].content)["services"]
    for service in ("label-studio", "sam2", "proxy"):
        mounted = [mount["source"] for mount in services[service]["volumes"]]
        assert mounted == [str(tmp_path / "open"), str(tmp_path / "for our group")]
        assert services[service]["group_add"] == ["4242"]
    assert services["sam2"]["environment"] == {"MASK_KEEP": "clicked"}
    # It is remembered, for the day it is back.
    assert str(tmp_path / "gone") in files["folders.json"].content.decode()
    assert report.notices == [
        f"the image folder {tmp_path}/gone is not there now; its tasks show no image until it is back"
    ]
    assert not list(tmp_path.glob("current*"))
