"""Making a bundle: what was collected is kept when a run breaks off, and each refusal is one sentence."""

from __future__ import annotations

import fcntl
import io
import json
import platform
import shutil
from collections import namedtuple
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from core.errors import FileAccessError, HostError, LockHeld, SettingsError
from core.report import Report
from core.repository import REPOSITORY
from infra.bundle.manifest import BundledImage
from infra.bundle.reading import open_bundle
from infra.bundling import create as creating
from infra.bundling.create import Wanted, create_bundle
from infra.bundling.packages import Package
from infra.bundling.systems import target_system
from infra.config.settings import Settings
from infra.fleet.commit import Commit
from infra.roles.docker.client import EngineState
from infra.roles.images.bundled import refuse_other_version
from infra.roles.images.tags import FOLDERS, TOGETHER, debootstrap_base
from tests.fakes import FakeHost
from tests.unit.infra.bundle.making import our_tags

Usage = namedtuple("Usage", "total used free")
GIB = 1024**3


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


class Parts:
    """Stands for what fetches the parts; `calls` are the parts that were asked for."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.fails = ""

    def _called(self, part: str) -> None:
        self.calls.append(part)
        if part == self.fails:
            raise HostError(f"no {part} today")

    def packages(
        self, _here: Any, _system: Any, _machine: str, folder: Path, apt: Path, _report: Any, toolkit: Any
    ) -> Any:
        names = ["docker.io", *(["nvidia-container-toolkit"] if toolkit is not None else [])]
        found = [Package(name, "1.0", f"{name}_1.0_amd64.deb", 1000) for name in names]

        def fetch(given: Sequence[Package]) -> None:
            write(apt / "apt_auth", b"a login")
            self._called("packages")
            for one in given:
                write(folder / "packages" / one.name_in_bundle, b"p" * one.size)

        return SimpleNamespace(find=lambda: found, fetch=fetch)

    def wheels(self, _here: Any, _repository: Path, folder: Path, *_others: Any) -> None:
        self._called("wheels")
        write(folder / "thing-1.0-py3-none-any.whl", b"w")

    def weights(
        self, _here: Any, _repository: Path, _settings: Any, _image: str, folder: Path, _work: Path,
        models: Sequence[str], _report: Any,
    ) -> dict[str, str]:  # fmt: skip
        self._called("weights")
        for name in models:
            write(folder / "models" / f"{name}.pt", b"m")
        return {name: f"models/{name}.pt" for name in models}

    def images(self, _here: Any, images: Any, folder: Path, _report: Any) -> dict[str, BundledImage]:
        self._called("images")
        found = {name: BundledImage(tag=tag, file=f"images/{name}-1.tar") for name, tag in images.tags.items()}
        for one in found.values():
            write(folder / one.file, b"i" * 100)
        return found


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Parts:
    one = Parts()

    def plan(_here: Any, _repository: Path, _settings: Any, _report: Any, services: Sequence[str]) -> Any:
        tags = {name: our_tags()[name] for name in services}
        return SimpleNamespace(tags=tags, sam2=tags["sam2"], base=debootstrap_base(REPOSITORY, "x86_64"))

    monkeypatch.setattr(creating, "engine_state", lambda _host: EngineState.ANSWERS)
    monkeypatch.setattr(creating, "plan_images", plan)
    monkeypatch.setattr(creating, "images_role", lambda *_arguments: [])
    monkeypatch.setattr(creating, "image_sizes", lambda _host, images: dict.fromkeys(images.tags, 100))
    monkeypatch.setattr(creating, "PackageSet", one.packages)
    monkeypatch.setattr(creating, "fetch_wheels", one.wheels)
    monkeypatch.setattr(creating, "fetch_weights", one.weights)
    monkeypatch.setattr(creating, "save_images", one.images)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return one


def wanted(folder: Path, *, nvidia: bool = False) -> Wanted:
    return Wanted(target_system("debian12"), ("tiny",), nvidia, folder / "stick" / "out.tar")


def files_in(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def create(one: Wanted, report: Report | None = None) -> str:
    commit = Commit("b" * 40, dirty=True)
    return create_bundle(one, Settings(), FakeHost(), REPOSITORY, commit, report or Report(io.StringIO()))


@pytest.mark.parametrize("serve", [False, True])
def test_holds_an_image_for_every_service_there_is(parts: Parts, tmp_path: Path, serve: bool) -> None:
    """The services are those that there is a Dockerfile for, whichever a stack has; Ray's image when it is wanted."""
    services = {one for one in FOLDERS if serve or one not in TOGETHER}
    said = io.StringIO()
    report = Report(said)
    text = create(replace(wanted(tmp_path), serve=serve), report)
    out = wanted(tmp_path).out
    bundle = open_bundle(out)
    bundle.verify(lambda _text: None)
    refuse_other_version(bundle, REPOSITORY)
    manifest = bundle.manifest
    assert set(manifest.images) == services
    assert (manifest.system, manifest.machine, manifest.base) == ("debian12", "x86_64", "debootstrap")
    assert (manifest.commit, manifest.dirty, manifest.packages) == ("b" * 40, True, {"docker.io": "1.0"})
    assert manifest.models == {"tiny": "models/tiny.pt"}
    assert manifest.pythons[0] == "3.11"
    assert files_in(tmp_path) == {out}
    assert "out.tar will be about this large:" in said.getvalue()
    assert "for debian12 on x86_64" in text
    facts = json.loads(report.as_json())
    assert facts["bytes"] == out.stat().st_size
    assert facts["bytes_of"] == {"images": 100 * len(services), "packages": 1000, "models": 1, "wheels": 1}


def test_the_toolkit_comes_where_it_is_asked_for(parts: Parts, tmp_path: Path) -> None:
    create(wanted(tmp_path, nvidia=True))
    assert "nvidia-container-toolkit" in open_bundle(wanted(tmp_path).out).manifest.packages


@pytest.mark.parametrize("part", ["packages", "wheels", "weights", "images"])
def test_what_was_collected_is_kept_for_the_next_run(parts: Parts, tmp_path: Path, part: str) -> None:
    parts.fails = part
    one = wanted(tmp_path)
    with pytest.raises(HostError, match=rf"^no {part} today$"):
        create(one)
    assert not one.out.exists()
    assert len(files_in(one.folder)) >= parts.calls.index(part)
    assert [path.name for path in files_in(tmp_path / "cache")] == ["apt_auth"]  # no login lies on the stick
    parts.fails = ""
    create(one)
    assert files_in(tmp_path) == {one.out}
    assert not one.folder.exists()


def test_no_room_is_said_before_anything_is_fetched(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(9 * GIB, 9 * GIB, GIB // 2))
    with pytest.raises(FileAccessError, match=r"^0\.5 GiB free on the disk of .*, 0\.5 GiB needed \(the parts, "):
        create(wanted(tmp_path))
    assert parts.calls == []


def test_what_is_there_already_needs_no_room(parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = wanted(tmp_path)
    kept = one.folder / "images" / "sam2-0.tar"
    kept.parent.mkdir(parents=True)
    with kept.open("wb") as file:
        file.truncate(GIB)  # a file without blocks
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(9 * GIB, 9 * GIB, GIB // 2))
    monkeypatch.setattr(creating, "write_bundle", lambda *_arguments: one.out.touch())
    monkeypatch.setattr(creating, "_summary", lambda *_arguments: "")
    create(one)
    assert "images" in parts.calls


def test_without_an_engine_nothing_begins(parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(creating, "engine_state", lambda _host: EngineState.SILENT)
    with pytest.raises(HostError, match=r"^no Docker engine answers here, and the images come from it; `./inv up`"):
        create(wanted(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_two_do_not_make_the_same_file(parts: Parts, tmp_path: Path) -> None:
    one = wanted(tmp_path)
    one.folder.mkdir(parents=True)
    with (one.folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(LockHeld, match=r"^another `./inv bundle.create` collects in .*out.tar.parts; wait for it"):
            create(one)
    assert parts.calls == []


def test_a_place_that_cannot_be_written_is_named(parts: Parts) -> None:
    with pytest.raises(FileAccessError, match=r"^/proc/stick/out.tar.parts cannot be made: .*; name another place"):
        create(wanted(Path("/proc")))


def test_a_folder_is_refused_before_the_first_stage(parts: Parts, tmp_path: Path) -> None:
    one = wanted(tmp_path)
    one.out.mkdir(parents=True)
    with pytest.raises(SettingsError, match=r"^--out .*out.tar is a folder; name a file, such as .*/labelrig-debian12"):
        create(one)
    assert list(one.out.parent.iterdir()) == [one.out]
