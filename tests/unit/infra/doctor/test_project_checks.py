"""The doctor's links of token, project, storage and image, in their states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import httpx
import pytest

from core.errors import LabelrigError
from infra.config.settings import Settings
from infra.doctor import inside
from infra.doctor.diagnosis import Finding, Verdict
from infra.doctor.project_checks import check_image, check_project, check_storage, check_token
from tests.unit.infra.doctor.doctor_bench import (
    DoctorBench,
    container,
    project,
)
from tests.unit.labelstudio.labelstudio_fake import EMAIL

Spoil = Callable[[DoctorBench], object]
UP = "`./inv up`"


@pytest.fixture
def bench() -> DoctorBench:
    return DoctorBench()


def no_token(bench: DoctorBench) -> None:
    bench.token = None


def no_own(bench: DoctorBench) -> None:
    bench.execs["sam2"].exit_codes["cat"] = 1


def held(token: str | None) -> Spoil:
    """The backend has this token; None is the administrator's."""

    def spoil(bench: DoctorBench) -> None:
        bench.execs["sam2"].answers["cat"] = f"{bench.token if token is None else token}\n"

    return spoil


@pytest.mark.parametrize(
    ("spoil", "result", "seen"),
    [
        (no_token, "broken", "/.env holds no LABEL_STUDIO_API_KEY"),
        (lambda b: b.server.tokens.clear(), "broken", "Label Studio does not accept the stored token"),
        (no_own, "broken", "the backend has no readable token of its own"),
        (held(""), "broken", "the backend has no readable token of its own"),
        (held("abc"), "broken", "Label Studio does not accept the backend's token"),
        (held(None), "broken", f"the backend has the token of {EMAIL}"),
        (
            container("sam2", status="exited"),
            "ok",
            "Label Studio accepts it; the backend's own was not looked at (sam2 does not run)",
        ),
    ],
)
def test_token(bench: DoctorBench, spoil: Spoil, result: str, seen: str) -> None:
    spoil(bench)
    found = bench.ask(check_token)
    assert (found.result, found.seen) == (result, seen)


@pytest.mark.parametrize(
    ("spoil", "result", "seen"),
    [
        (lambda b: b.server.projects.clear(), "broken", "Label Studio has no project 'RGBT-SAR'"),
        (lambda b: b.server.tasks.clear(), "broken", "project 2 'RGBT-SAR' has no tasks"),
        (
            project(label_config="<View/>"),
            "warning",
            "project 2 'RGBT-SAR', 1 tasks: its labeling configuration is not rgbt-sar/v2",
        ),
        (
            project(show_collab_predictions=False),
            "warning",
            "project 2 'RGBT-SAR', 1 tasks: it does not call the model when a task opens, so the first click of each "
            "image is slow",
        ),
    ],
)
def test_project(bench: DoctorBench, spoil: Spoil, result: str, seen: str) -> None:
    spoil(bench)
    found = bench.ask(check_project)
    assert (found.result, found.seen) == (result, seen)
    assert found.fix.startswith(UP)


def storage(**changes: object) -> Spoil:
    return lambda bench: bench.server.storages[bench.storage].update(changes)


def sees(service: str, **answer: object) -> Spoil:
    return lambda bench: bench.execs[service].answers.update({inside.FIRST_IMAGE: answer})


@pytest.mark.parametrize(
    ("spoil", "result", "seen", "fix"),
    [
        (
            storage(path="/label-studio/files/set/below"),
            "broken",
            "no storage of the project is /label-studio/files/set (there are: /label-studio/files/set/below)",
            "`./inv up` connects it",
        ),
        (
            storage(regex_filter=".*tif"),
            "warning",
            "the storage /label-studio/files/set has another filter or import method",
            "`./inv up` corrects it",
        ),
        (
            lambda b: b.server.storages.update({99: b.server.storages[b.storage] | {"id": 99}}),
            "warning",
            "/label-studio/files/set is connected 2 times",
            "`./inv up` keeps one",
        ),
        (
            container("label-studio", env=["LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT=/label-studio/files/set"]),
            "broken",
            "/label-studio/files/set is no folder below Label Studio's document root /label-studio/files/set",
            UP,
        ),
        (
            lambda b: b.host.script("test", "-d", "/data/set", exit_code=1),
            "broken",
            "/data/set is not there on fake host",
            "mount it there (`findmnt -T /data/set` shows what is), then `./inv up`",
        ),
        (
            container("sam2", mounts=["/models"]),
            "broken",
            "/label-studio/files/set is not mounted in sam2",
            "`./inv up` mounts it",
        ),
        (
            sees("sam2", error="PermissionError", said="Permission denied", path="/label-studio/files/set", uid=1001),
            "broken",
            "the user of sam2 (uid 1001) may not read /data/set",
            "`chmod -R o+rX /data/set`",
        ),
        (
            sees("label-studio", error="OSError", said="Stale file handle", path="/label-studio/files/set/a", uid=1001),
            "broken",
            "label-studio cannot read /data/set/a: Stale file handle",
            "`ls /data/set`; is the share still mounted there? Then `docker restart labelrig-label-studio-1`",
        ),
        (
            sees("label-studio", path=None),
            "broken",
            "label-studio sees no image in /label-studio/files/set that matches '.*png'",
            "`ls /data/set`; where it is a share that was mounted after the containers started, "
            "`docker restart labelrig-label-studio-1`",
        ),
    ],
)
def test_storage(bench: DoctorBench, spoil: Spoil, result: str, seen: str, fix: str) -> None:
    spoil(bench)
    assert bench.ask(check_storage) == Finding(Verdict(result), seen, fix)


def test_a_project_on_a_folder_below_the_connected_one(bench: DoctorBench) -> None:
    """`images.folder` of the default project: what is mounted is the folder above."""
    bench.spec = replace(bench.spec, images_folder="set/RGB")
    storage(path="/label-studio/files/set/RGB")(bench)
    bench.host.script("test", "-d", "/data/set/RGB")
    seen = "/data/set/RGB is /label-studio/files/set/RGB in every container that reads it, and readable"
    assert bench.ask(check_storage) == Finding(Verdict.OK, seen, "")


def test_an_image_folder_that_was_never_connected(bench: DoctorBench) -> None:
    bench.settings = Settings.model_validate({"LABELRIG_DATA": "/data/other"})
    with pytest.raises(LabelrigError, match=r"^/stack/folders\.json on fake host does not name the image"):
        bench.ask(check_storage)


def served(response: httpx.Response) -> Spoil:
    return lambda bench: bench.server.overrides.update({"GET /data/local-files": lambda _: response})


@pytest.mark.parametrize(
    ("spoil", "seen"),
    [
        (
            lambda b: b.host.script("test", "-f", "/data/set/a b.png", exit_code=1),
            "none of the first 20 tasks has an image that is still in /data/set",
        ),
        (served(httpx.Response(200, content=b"no image")), "the image of task 4 (a b.png) is no readable image: "),
        (
            lambda b: b.execs["sam2"].answers.update({inside.DIGEST: {"sha256": "abc"}}),
            "the two containers see different files as a b.png",
        ),
        (
            lambda b: b.execs["sam2"].answers.update(
                {inside.DIGEST: {"error": "FileNotFoundError", "said": "No such file", "uid": 1001}}
            ),
            "sam2 cannot read /data/set/a b.png: No such file",
        ),
    ],
)
def test_image(bench: DoctorBench, spoil: Spoil, seen: str) -> None:
    spoil(bench)
    found = bench.ask(check_image)
    assert found.result is Verdict.BROKEN
    assert found.seen.startswith(seen)
    assert found.fix


def test_the_host_in_a_task_s_url_is_not_followed(bench: DoctorBench) -> None:
    bench.server.tasks[bench.task]["data"]["image"] = "http://old.lab.example:8080/data/local-files/?d=set/a%20b.png"
    assert bench.ask(check_image).result is Verdict.OK
