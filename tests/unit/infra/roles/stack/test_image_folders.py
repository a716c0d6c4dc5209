from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from core.errors import SettingsError
from infra.roles.stack.image_folders import (
    ImageFolder,
    folder_called,
    folder_name,
    read_folders,
    render_compose,
    render_folders,
    with_folder,
)
from tests.fakes import FakeHost

STATE = "/state/folders.json"


@pytest.mark.parametrize(
    ("path", "name"),
    [("/NAS/RGB_T_SAR", "RGB_T_SAR"), ("/data/mis imágenes ñ", "mis-im-genes"), ("/data/...", "images")],
)
def test_names_are_safe_in_urls(path: str, name: str) -> None:
    assert folder_name(Path(path)) == name


def test_a_folder_keeps_its_name_and_two_of_one_name_differ() -> None:
    folders, first = with_folder([], Path("/a/set"))
    folders, second = with_folder(folders, Path("/b/set"))
    same, again = with_folder(folders, Path("/a/set"))
    assert (first.name, second.name, again) == ("set", "set-2", first)
    assert same == folders
    assert second.mount == "/label-studio/files/set-2"


def test_a_project_names_a_folder_or_one_below_it() -> None:
    folders = [ImageFolder("set", "/a/set"), ImageFolder("set-2", "/b/set")]
    assert folder_called(folders, "set-2") == folders[1]
    below = folder_called(folders, "set/vuelo 1/RGB")
    assert below == ImageFolder("set/vuelo 1/RGB", "/a/set/vuelo 1/RGB")
    assert below is not None
    assert below.mount == "/label-studio/files/set/vuelo 1/RGB"
    assert folder_called(folders, "RGB") is None


def test_the_state_is_read_back_and_a_foreign_one_refused() -> None:
    host = FakeHost()
    assert read_folders(host, STATE) == []
    folders = [ImageFolder("set", "/a/set")]
    host.files[STATE] = render_folders(folders)
    assert read_folders(host, STATE) == folders
    host.files[STATE] = b'{"name": "set"}'
    with pytest.raises(SettingsError, match="is not the list of image folders"):
        read_folders(host, STATE)


def test_mounts_every_folder_read_only_and_makes_none() -> None:
    """All services that read images get every folder read-only, and none is made."""
    readers = ("label-studio", "sam2", "proxy")
    document = yaml.safe_load(render_compose([ImageFolder("set", "/a/$et")], [1234], {}, readers, ("sam2",)))
    assert set(document["services"]) == {"label-studio", "sam2", "proxy"}
    for service in document["services"].values():
        assert service["group_add"] == ["1234"]
        assert service["volumes"] == [
            {
                "type": "bind",
                "source": "/a/$$et",
                "target": "/label-studio/files/set",
                "read_only": True,
                "bind": {"create_host_path": False},
            }
        ]
