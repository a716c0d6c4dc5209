"""`./inv embed` against the backend's real routes; only the way into the container is replaced."""

from __future__ import annotations

import io
import json
from collections.abc import Collection, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from backend.settings import Settings as BackendSettings
from backend.web.app import create_app
from core.errors import LabelrigError, SettingsError
from core.report import Report
from dataset.embed.command import EmbedOptions, run_embed
from dataset.embed.embed import cancel_all, embed, project_images
from hosts.base import Result
from infra.config.settings import Settings
from infra.fleet.session import Session
from infra.stack.site import Site
from labelstudio.models import Project
from tests.unit.backend.fakes import MODEL, FakeSegmenter
from tests.unit.dataset.export_bench import ExportBench
from tests.unit.infra.deploy_bench import LabHost, host_settings, options
from tests.unit.labelstudio.annotated import FUSED


class Container:
    """Stands for `docker compose exec sam2`: asks the same application without a network."""

    def __init__(self, client: TestClient) -> None:
        self.client = client
        self.asked: list[str] = []

    def __call__(
        self,
        *argv: str,
        ok: Collection[int] = (0,),
        timeout: float = 0.0,
        stdin: bytes | None = None,
        **_options: object,
    ) -> Result:
        assert argv[:3] == ("python", "-m", "backend.ask")
        method, path = argv[3:]
        self.asked.append(f"{method} {path.rpartition('/')[0] or path}")
        answer = self.client.request(method, path, content=stdin)
        return Result(argv, 0 if answer.is_success else 1, answer.text, "")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "files" / "set"
    folder.mkdir(parents=True)
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (24, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "files"


@pytest.fixture
def container(images: Path, tmp_path: Path) -> Iterator[Container]:
    settings = BackendSettings(local_files_document_root=images, embedding_cache_dir=tmp_path / "cache")
    with TestClient(create_app(FakeSegmenter, settings, MODEL)) as client:
        yield Container(client)


def no_pause(_seconds: float) -> None:
    """The backend's thread works meanwhile."""


def test_every_image_is_encoded_once(container: Container) -> None:
    report = Report(io.StringIO())
    request: dict[str, object] = {"key": "a", "folder": "set"}
    first = embed(container, request, report, pause=no_pause)
    assert first.startswith("3 images encoded, 0 were there already, 0 failed, in ")
    again = embed(container, request, report, pause=no_pause)
    assert again.startswith("0 images encoded, 3 were there already, 0 failed, in ")
    assert report.facts["embed"]["total"] == 3  # type: ignore[index]


def test_images_that_fail_are_named_and_the_others_done(container: Container, images: Path) -> None:
    (images / "set" / "1.png").write_bytes(b"no image")
    with pytest.raises(LabelrigError) as caught:
        embed(container, {"key": "a", "folder": "set"}, Report(io.StringIO()), pause=no_pause)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("the embed job is done; 2 images encoded, 0 were there already, 1 failed")
    assert "1.png" in lines[1]


def test_missing_folder(container: Container) -> None:
    """The message is the backend's."""
    with pytest.raises(LabelrigError) as caught:
        embed(container, {"key": "a", "folder": "nowhere"}, Report(io.StringIO()), pause=no_pause)
    assert str(caught.value) == "the SAM2 backend refuses: there is no folder 'nowhere' in the shared folder"
    assert container.asked == ["POST /embed"]


def test_a_container_that_is_down_is_said_as_such() -> None:
    def dead(
        *argv: str, ok: Collection[int] = (0,), timeout: float = 0.0, stdin: bytes | None = None, **_options: object
    ) -> Result:
        return Result(argv, 1, "", 'service "sam2" is not running')

    with pytest.raises(LabelrigError, match=r"does not answer POST /embed: service \"sam2\" is not running; does the"):
        embed(dead, {"folder": "set"}, Report(io.StringIO()))


def test_host_that_could_not_be_told_to_end_is_named() -> None:
    """As the ingress of several hosts answers; the progress of its jobs says it too."""

    def ingress(*argv: str, **_options: object) -> Result:
        ended = {"cancelled": True, "problem": "b/0 cannot be asked: it is gone"}
        jobs = {"jobs": [{"id": "1", "state": "running"}]}
        return Result(argv, 0, json.dumps(ended if "DELETE" in argv else jobs), "")

    report = Report(io.StringIO())
    assert cancel_all(ingress, report) == 1
    assert report.notices == ["an embed job may go on: b/0 cannot be asked: it is gone"]


def test_nothing_runs_nothing_is_ended(container: Container) -> None:
    assert cancel_all(container, Report(io.StringIO())) == 0


@pytest.mark.parametrize(
    ("value", "data"),
    [
        ("$image", {"image": "/a.png"}),
        ("$images[0]", {"images": ["/a.png", "/b.png"]}),
        ("/$file", {"file": "a.png"}),
    ],
)
def test_images_of_a_project(exports: ExportBench, value: str, data: dict[str, Any]) -> None:
    """The URL is what the image tag means; a project without such an image has nothing to encode."""
    report = Report(io.StringIO())
    project = exports.server.project(f'<View><Image name="i" value="{value}"/></View>')
    exports.server.overrides["GET /api/tasks"] = lambda _: httpx.Response(
        200, json={"total": 1, "tasks": [{"id": 7, "data": data}]}
    )
    assert project_images(exports.client, project, report) == [{"url": "/a.png", "task": "7"}]
    other = exports.server.project('<View><Image name="i" value="$other"/></View>', "Others")
    with pytest.raises(LabelrigError, match=r"the project 'Others' has no images with an address under \$other"):
        project_images(exports.client, other, report)


def test_repeated_images_are_encoded_otherwise(exports: ExportBench) -> None:
    repeated = '<View><Repeater on="$pages"><Image name="page_{{idx}}" value="$pages[{{idx}}].url"/></Repeater></View>'
    project = exports.server.project(repeated, "Pages")
    with pytest.raises(LabelrigError) as caught:
        project_images(exports.client, project, exports.report)
    assert str(caught.value) == (
        "the project 'Pages' repeats its images (<Repeater>), which `embed` does not list: they are encoded when a "
        "task is opened; `./inv embed --folder FOLDER` encodes the images of a folder"
    )


def test_images_that_tasks_hold_are_left_for_the_click(exports: ExportBench) -> None:
    """They have no URL by which the backend finds them, and megabytes each."""
    project = exports.server.project('<View><Image name="i" value="$image"/></View>')
    images = ("/a.png", "data:image/png;base64,AAAA")
    exports.server.overrides["GET /api/tasks"] = lambda _: httpx.Response(
        200, json={"total": 2, "tasks": [{"id": 7 + at, "data": {"image": url}} for at, url in enumerate(images)]}
    )
    report = Report(io.StringIO())
    assert project_images(exports.client, project, report) == [{"url": "/a.png", "task": "7"}]
    assert report.notices == ["1 images stand in their tasks (data URLs): they are encoded when they are opened"]


@pytest.fixture
def on_host(container: Container, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    """A session on a host of the inventory, whose backend is the application above."""
    monkeypatch.setattr(Site, "exec_in_backend", container)
    host: Any = LabHost()
    one = Session(options("embed"), host, Report(io.StringIO()), options().owner(), host_settings(tmp_path))
    one.site = Site(host, Settings(), "/srv/x", "/srv/x/current", "/srv/x/secrets.env", Settings)
    return one


def test_a_host_encodes_a_folder_and_ends_jobs(on_host: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dataset.embed.embed.POLL_SECONDS", 0.01)
    assert run_embed(on_host, EmbedOptions(folder="set")).startswith("3 images encoded, 0 were there already")
    assert run_embed(on_host, EmbedOptions(stop=True)) == "0 embed jobs ended"


def test_a_host_encodes_a_project(on_host: Session, exports: ExportBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The project is found as every command finds it; see `named_project`."""
    monkeypatch.setattr("dataset.embed.embed.POLL_SECONDS", 0.01)
    made = exports.server.project(FUSED, "RGBT-SAR demo")

    def images_of(_client: object, project: Project, _report: object) -> list[dict[str, object]]:
        assert project.id == made.id
        return [{"url": f"/data/local-files/?d=set/{number}.png", "task": str(number)} for number in (0, 2)]

    monkeypatch.setattr("dataset.embed.command.project_images", images_of)
    on_host.access = SimpleNamespace(client=lambda: exports.client)  # type: ignore[assignment]
    assert run_embed(on_host, EmbedOptions()).startswith("2 images encoded, 0 were there already")
    assert run_embed(on_host, EmbedOptions(project="rgbt-sar")).startswith("0 images encoded, 2 were there already")


def test_a_project_and_a_folder_exclude_each_other() -> None:
    with pytest.raises(SettingsError, match="give either --project or --folder"):
        EmbedOptions(project="a", folder="b")
