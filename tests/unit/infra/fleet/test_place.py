"""Which folder a project has on a stack, and under which title."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from core.errors import SettingsError
from core.report import Report
from core.repository import REPOSITORY
from infra.config.settings import Settings
from infra.fleet.place import Place
from infra.roles.stack.image_folders import DEMO, ImageFolder, render_folders
from infra.stack.site import Site
from labelstudio.access import Access
from labelstudio.config import load_project
from tests.fakes import FakeHost

FLIGHT = ImageFolder("flight", "/nas/flight")
DEMO_PATH = "/state/demo/images"
SPEC = load_project(REPOSITORY, "rgbt-sar")


def place(data: str | None = "/nas/flight") -> Place:
    host = FakeHost()
    host.files["/stack/folders.json"] = render_folders([FLIGHT])
    host.script("test", "-d", "/nas/flight/RGB ñ")
    host.script("test", "-d", "/nas/flight/none", exit_code=1)
    settings = Settings.model_validate({"LABELRIG_DATA": data} if data else {})
    site = Site(host, settings, "/state", "/stack", "/.env", lambda: settings)
    access = Access("http://label-studio.test", "me@lab", "password", None)
    return Place(site, access, ImageFolder(DEMO, DEMO_PATH), Report(io.StringIO()))


def test_without_a_folder_it_is_the_stacks_own() -> None:
    assert place().resolved(SPEC) == (SPEC, FLIGHT)


def test_a_stack_with_demo_images_has_it_under_another_title() -> None:
    spec, folder = place(None).resolved(SPEC)
    assert (spec.title, folder) == ("RGBT-SAR demo", ImageFolder(DEMO, DEMO_PATH))


@pytest.mark.parametrize("data", ["/nas/flight", None])
def test_a_named_folder_and_one_below_it(data: str | None) -> None:
    whole, below = replace(SPEC, images_folder="flight"), replace(SPEC, images_folder="flight/RGB ñ")
    assert place(data).resolved(whole) == (whole, FLIGHT)
    assert place(data).resolved(below) == (below, ImageFolder("flight/RGB ñ", "/nas/flight/RGB ñ"))


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        (
            "other",
            "projects.rgbt-sar.images.folder: no folder 'other' is connected here (there are: flight); `./inv up "
            "--data` with its path",
        ),
        ("flight/none", "projects.rgbt-sar.images.folder: there is no folder /nas/flight/none"),
    ],
)
def test_a_folder_that_is_not_there_is_said(folder: str, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        place().resolved(replace(SPEC, images_folder=folder))
    assert str(caught.value) == message


def test_a_folder_that_was_never_connected_is_said() -> None:
    with pytest.raises(SettingsError, match=r"the image folder /nas/new is not connected yet; `\./inv up --data`"):
        place("/nas/new").resolved(SPEC)
