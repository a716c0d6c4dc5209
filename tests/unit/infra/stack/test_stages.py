"""How many stages there are, who sees a password, and what is said of an address with TLS."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import pytest
from pydantic import SecretStr

from core.errors import SettingsError
from core.report import Report
from core.repository import REPOSITORY
from hosts.local import LocalHost
from infra.config.settings import Settings
from infra.deploy import deployment, host_check
from infra.roles.stack.image_folders import DEMO, ImageFolder
from infra.roles.stack.root_certificate import RootCertificateKept
from infra.stack import up
from infra.stack.site import Site
from infra.stack.stages import Summary, certificate_operations, project_folder, root_certificate
from labelstudio.config import load_project
from tests.certificates import authority
from tests.fakes import FakeHost


class FakeSmokeTest:
    model_version = "demo@1"

    def sentence(self) -> str:
        return "a click came back as a mask"


def test_default_project_is_on_the_folder_that_it_names() -> None:
    """`images.folder` counts for `up` and `deploy` too; the demo images stay what they are."""
    data, demo = ImageFolder("pairs", "/data/pairs"), ImageFolder(DEMO, "/demo/images")
    spec = load_project(REPOSITORY, "rgbt-sar")
    assert project_folder(spec, [data], data) == data
    named = replace(spec, images_folder="pairs/rgb")
    assert project_folder(named, [data], data) == ImageFolder("pairs/rgb", "/data/pairs/rgb")
    assert project_folder(named, [demo], demo) == demo
    with pytest.raises(SettingsError) as error:
        project_folder(replace(spec, images_folder="other/rgb"), [data], data)
    assert str(error.value) == (
        "projects.rgbt-sar.images.folder: no folder 'other' is connected here (there are: pairs); give its path with "
        "--data, or leave `folder` out"
    )


@pytest.mark.parametrize("modules", [[up], [deployment, host_check]], ids=["up", "deploy"])
def test_steps_are_as_many_as_the_stages(modules: list[ModuleType]) -> None:
    """A deploy meets "stack" and "project" in two places each, and one of them in a run."""
    text = "".join(Path(str(one.__file__)).read_text(encoding="utf-8") for one in modules)
    names = re.findall(r'\b(?:report|run)\.stage\("([^"]+)"\)', text)
    assert len(set(names)) == modules[0].STAGES


@pytest.mark.parametrize(
    ("first_login", "terminal", "shown"),
    [
        (True, True, "password hunter2hunter2 (kept in /home/me/.env, not shown again)"),
        (True, False, "password in /home/me/.env"),
        (False, True, "password in /home/me/.env"),
    ],
)
def test_the_first_password_is_shown_on_a_terminal_only(first_login: bool, terminal: bool, shown: str) -> None:
    settings = Settings(LABEL_STUDIO_PASSWORD=SecretStr("hunter2hunter2"))  # type: ignore[call-arg]
    site = Site(LocalHost(), settings, "/state", "/state", "/home/me/.env", lambda: settings)
    folder = ImageFolder("demo", "/images")
    one = Summary(site, folder, "demo", cast(Any, FakeSmokeTest()), first_login, "http://127.0.0.1:8080")
    text = one.text(Report(io.StringIO()), show_password=terminal)
    assert f"  login    {settings.username}, {shown}\n" in text
    assert ("hunter2hunter2" in text) is (first_login and terminal)


LAB = {"LABELRIG_PUBLIC_URL": "https://label.lab.example"}


def site_with(**settings: str) -> Site:
    chosen = Settings.model_validate({"LABEL_STUDIO_PASSWORD": "hunter2hunter2", **settings})
    return Site(FakeHost(), chosen, "/state", "/state", "/home/me/.env", lambda: chosen)


def test_root_to_trust_is_told_with_the_address(tmp_path: Path) -> None:
    path = tmp_path / "labelrig.crt"
    path.write_bytes(authority().pem)
    root = RootCertificateKept(lambda *_argv, **_more: pytest.fail("nothing is asked"), path)
    site = site_with(**LAB, LABELRIG_TLS="internal")
    proof = cast(Any, FakeSmokeTest())
    one = Summary(site, ImageFolder("demo", "/images"), "demo", proof, False, site.settings.address_for_people, root)
    text = one.text(Report(io.StringIO()), show_password=False)
    assert "  open     https://label.lab.example\n" in text
    assert f"  trust    {path}\n           SHA-256 " in text


@pytest.mark.parametrize(
    ("tls", "listen", "operations", "root", "notice"),
    [
        ("internal", "0.0.0.0", [], True, False),
        ("internal", "127.0.0.1", [], True, True),
        ("files", "0.0.0.0", ["certificate in place"], False, False),
        ("proxy", "127.0.0.1", [], False, False),
    ],
)
def test_what_each_kind_of_tls_needs(tls: str, listen: str, operations: list[str], root: bool, notice: bool) -> None:
    """A certificate of the lab before the start, a root to trust after it; https for this machine alone is noticed."""
    files = {"LABELRIG_TLS_CERTIFICATE": "/lab/label.crt", "LABELRIG_TLS_KEY": "/lab/label.key"}
    site, report = site_with(**LAB, **files, LABELRIG_TLS=tls, LABELRIG_LISTEN=listen), Report(io.StringIO())
    assert [one.name for one in certificate_operations(site, report)] == operations
    assert (root_certificate(site) is not None) is root
    assert bool(report.notices) is notice
