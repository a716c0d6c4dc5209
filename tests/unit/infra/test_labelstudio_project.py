"""The project stage's operations against the fake Label Studio: create, stay still, heal, refuse."""

from __future__ import annotations

import dataclasses
import io
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from infra.errors import LabelStudioError
from infra.labelstudio.access import Access
from infra.labelstudio.config import ProjectSpec, load_project
from infra.labelstudio.syncing import Pace
from infra.operation import Operation, converge
from infra.operations.ml_backend import BackendRegistered
from infra.operations.project import ProjectPresent
from infra.operations.storage_sync import ImagesSynced, StorageConnected
from infra.report import Report
from infra.settings import REPOSITORY
from tests.fakes import FakeHost
from tests.unit.infra.labelstudio_fake import (
    BANNED,
    BASE,
    EMAIL,
    HEALTH_FAILED,
    PASSWORD,
    UNRESOLVED,
    FakeLabelStudio,
    problem,
)

ROOT = "/label-studio/files"
FOLDER = "/data/set"
BACKEND = "http://sam2:9090"
FIND = ("find", "-H", FOLDER, "(", "-type", "f", "-o", "-type", "l", ")", "-printf", "%y%P\\0")


class Clock:
    """Time that passes only when somebody sleeps, and a little with each look."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 0.01
        return self.now

    def sleep(self, seconds: float, /) -> None:
        self.now += seconds


class Bench:
    """The operations on one fake server and one fake machine."""

    def __init__(self) -> None:
        self.server = FakeLabelStudio()
        self.host = FakeHost()
        self.access = Access(BASE, EMAIL, PASSWORD, self.server.token(), self.server.transport)
        self.spec: ProjectSpec = load_project(REPOSITORY, "rgbt-sar")
        self.report = Report(io.StringIO())
        self.put("a.png", "b c.png")

    def put(self, *paths: str, links: tuple[str, ...] = ()) -> None:
        """These files, and no others, lie in the image folder."""
        listed = "".join(f"f{path}\0" for path in paths) + "".join(f"l{path}\0" for path in links)
        self.host.script(*FIND, stdout=listed)
        self.server.folder = [f"set/{path.replace(' ', '%20')}" for path in paths if path.endswith("png")]

    def operations(self) -> list[Operation]:
        storage = StorageConnected(self.access, self.spec, ROOT, "set")
        pace = Pace(look=0.05, stalled=10.0, clock=Clock())
        return [
            ProjectPresent(self.access, self.spec, self.report),
            storage,
            ImagesSynced(self.access, self.spec, self.host, FOLDER, storage, self.report, pace),
            BackendRegistered(self.access, self.spec, BACKEND, self.report, patience=0.0),
        ]

    def apply(self) -> list[str]:
        report = Report(io.StringIO())
        converge(self.operations(), report)
        return report.stages[0].changed

    @property
    def project(self) -> int:
        return next(iter(self.server.projects))


@pytest.fixture
def bench() -> Iterator[Bench]:
    one = Bench()
    yield one
    one.access.close()


def test_the_first_run_makes_everything_and_the_second_nothing(bench: Bench) -> None:
    assert bench.apply() == [
        "create project RGBT-SAR with rgbt-sar/v2",
        "connect the folder /label-studio/files/set to RGBT-SAR",
        "sync 2 new images (a.png, b c.png)",
        "connect the ML backend http://sam2:9090 to RGBT-SAR",
    ]
    assert bench.apply() == []
    project = bench.server.projects[bench.project]
    assert project["label_config"] == bench.spec.labeling.text.strip()
    assert project["show_collab_predictions"] is True
    storage = next(iter(bench.server.storages.values()))
    wanted = {
        "project": bench.project,
        "path": "/label-studio/files/set",
        "regex_filter": ".*png",
        "use_blob_urls": True,
        "recursive_scan": True,
        "title": "set",
    }
    assert storage | wanted == storage
    backend = next(iter(bench.server.backends.values()))
    assert (backend["url"], backend["is_interactive"], backend["title"]) == (BACKEND, True, "SAM2")


def test_what_was_changed_by_hand_comes_back_with_a_diff(bench: Bench) -> None:
    bench.apply()
    project = bench.server.projects[bench.project]
    project |= {
        "label_config": project["label_config"].replace('value="Sky"', 'value="Heaven"'),
        "show_collab_predictions": False,
    }

    changes = ProjectPresent(bench.access, bench.spec, bench.report).plan()

    assert [change.summary for change in changes] == [
        "replace the labeling configuration of RGBT-SAR by rgbt-sar/v2",
        "let RGBT-SAR call the model when a task opens (show_collab_predictions), to warm it up",
    ]
    assert '-    <Label value="Heaven" background="#29B6F6" hotkey="7"/>' in changes[0].diff
    assert '+    <Label value="Sky" background="#29B6F6" hotkey="7"/>' in changes[0].diff
    assert len(bench.apply()) == 2
    assert bench.apply() == []


def test_a_configuration_that_label_studio_refuses_is_an_error_with_its_reason(bench: Bench) -> None:
    bench.apply()
    bench.server.projects[bench.project]["label_config"] = "<View/>"
    errors = {"label_config": ["These labels still exist in annotations: Heaven"]}
    bench.server.overrides[f"PATCH /api/projects/{bench.project}"] = lambda _: problem(400, "Validation error", errors)
    with pytest.raises(LabelStudioError) as caught:
        bench.apply()
    assert str(caught.value) == (
        f"cannot update project {bench.project}: Label Studio at http://label-studio.test answered HTTP 400: "
        "label_config: These labels still exist in annotations: Heaven"
    )


def test_of_two_projects_with_one_title_the_oldest_is_used(bench: Bench) -> None:
    bench.apply()
    bench.server.projects[99] = bench.server.projects[bench.project] | {"id": 99}
    assert bench.apply() == []
    assert (
        bench.report.notices
        == [
            f"2 projects are called RGBT-SAR (ids {bench.project}, 99); the oldest is used",
            f"2 projects are called RGBT-SAR (ids {bench.project}, 99); the oldest is used",
        ][:1]
    )


def test_only_new_images_are_synced(bench: Bench) -> None:
    bench.apply()
    bench.put("a.png", "b c.png", "deep/ñ.png", "notes.txt")
    bench.server.folder[-1] = "set/deep/%C3%B1.png"
    assert bench.apply() == ["sync 1 new images (deep/ñ.png)"]
    assert len(bench.server.tasks) == 3


def test_a_remade_storage_leaves_no_second_tasks_and_keeps_annotations(bench: Bench) -> None:
    bench.apply()
    annotated, drafted = bench.server.tasks
    bench.server.tasks[annotated]["total_annotations"] = 2
    bench.server.storages.clear()
    bench.put("a.png", "b c.png", "new.png")

    assert bench.apply() == [
        "connect the folder /label-studio/files/set to RGBT-SAR",
        "sync 1 new images (new.png)",
    ]

    assert list(bench.server.tasks)[:2] == [annotated, drafted]
    assert len(bench.server.tasks) == 3


def test_second_tasks_with_work_in_them_are_kept_and_named(bench: Bench) -> None:
    bench.apply()
    url = "/data/local-files/?d=set/a.png"
    bench.server.add_task(bench.project, url, annotations=1)
    drafted = bench.server.add_task(bench.project, url)
    bench.server.drafts[drafted] = 1
    first = next(iter(bench.server.tasks))

    assert bench.apply() == [f"delete task {first}, an untouched second task of a.png"]

    assert bench.report.notices[-1] == "1 images have more than one annotated task (a.png); all of them are kept"


def test_links_and_vanished_images_are_mentioned(bench: Bench) -> None:
    bench.put("a.png", "gone.png")
    bench.apply()
    bench.put("a.png", links=("elsewhere.png",))
    assert bench.apply() == []
    assert bench.report.notices[-2:] == [
        "1 symbolic links in /data/set are left out (elsewhere.png): what they point to need not exist inside the "
        "container",
        "1 tasks have lost their image: no such file in /data/set any more (gone.png); the tasks and their "
        "annotations are kept",
    ]


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        (
            "fnotes.txt\0",
            "no image in /data/set has a name that matches '.*png'; give another folder with --data, or another "
            "filter in labeling_configs/projects.yaml",
        ),
        (
            "fse�al.png\0",
            "cannot take the images in /data/set: the file name 'se�al.png' is not UTF-8; rename the file and "
            "run `./inv up` again",
        ),
    ],
)
def test_a_folder_without_usable_images_is_an_error(bench: Bench, listed: str, message: str) -> None:
    bench.host.script(*FIND, stdout=listed)
    with pytest.raises(LabelStudioError) as caught:
        bench.apply()
    assert str(caught.value) == message


LOCKED = "Traceback (most recent call last):\n  File x\ndjango.db.utils.OperationalError: database is locked\n"


def test_a_sync_is_repeated_while_the_database_is_locked(bench: Bench) -> None:
    bench.server.sync_failures = [LOCKED, LOCKED]
    bench.apply()
    assert sum(call.endswith("/sync") for call in bench.server.calls) == 3


def test_a_database_that_stays_locked_is_an_error(bench: Bench) -> None:
    bench.server.sync_failures = [LOCKED] * 99
    with pytest.raises(LabelStudioError) as caught:
        bench.apply()
    assert str(caught.value) == (
        "Label Studio could not sync the folder /label-studio/files/set (status failed): "
        "django.db.utils.OperationalError: database is locked; see the log of the label-studio container; the tasks "
        "made so far are kept, and `./inv up` goes on from there"
    )
    assert sum(call.endswith("/sync") for call in bench.server.calls) == 6


def test_a_sync_that_fails_for_another_reason_is_not_repeated(bench: Bench) -> None:
    bench.server.sync_failures = [
        "Traceback:\nPermissionError: [Errno 13] Permission denied: '/label-studio/files/set'"
    ]
    with pytest.raises(LabelStudioError, match=r"\(status failed\): PermissionError: \[Errno 13\] Permission denied"):
        bench.apply()
    assert sum(call.endswith("/sync") for call in bench.server.calls) == 1


def storage_id(bench: Bench) -> int:
    return next(iter(bench.server.storages))


def test_a_sync_whose_request_breaks_off_is_waited_for(bench: Bench) -> None:
    converge(bench.operations()[:2], bench.report)
    key = storage_id(bench)
    looks = iter(["in_progress", "in_progress", "completed", "completed"])

    def broken(request: httpx.Request) -> httpx.Response:
        bench.server._sync(request, key)
        raise httpx.ReadTimeout("timed out")

    def listed(_request: httpx.Request) -> httpx.Response:
        bench.server.storages[key]["status"] = next(looks, "completed")
        return httpx.Response(200, json=[bench.server.storages[key]])

    bench.server.overrides[f"POST /api/storages/localfiles/{key}/sync"] = broken
    bench.server.overrides["GET /api/storages/localfiles"] = listed
    assert converge([bench.operations()[2]], bench.report) == 1
    assert sum(call.endswith("/sync") for call in bench.server.calls) == 1
    assert len(bench.server.tasks) == 2


def test_a_sync_that_makes_no_progress_is_given_up(bench: Bench) -> None:
    converge(bench.operations()[:2], bench.report)
    bench.server.storages[storage_id(bench)]["status"] = "in_progress"
    with pytest.raises(LabelStudioError) as caught:
        converge([bench.operations()[2]], bench.report)
    assert str(caught.value) == (
        f"the sync of storage {storage_id(bench)} has made no task for 10 s (0 so far); see the log of the "
        "label-studio container, then run `./inv up` again: it goes on where this one stopped"
    )
    assert not any(call.endswith("/sync") for call in bench.server.calls)


def test_a_sync_that_leaves_images_out_says_which(bench: Bench) -> None:
    bench.server.folder = ["set/a.png"]
    with pytest.raises(LabelStudioError) as caught:
        bench.apply()
    assert str(caught.value) == (
        "Label Studio synced /label-studio/files/set and made no task for 1 images (b c.png); is /data/set the folder "
        "that the container sees as /label-studio/files/set, and may its user read the files?"
    )


REFUSALS = {
    "private address": (
        problem(403, BANNED),
        "cannot connect the ML backend http://sam2:9090: Label Studio at http://label-studio.test answered HTTP 403: "
        "URL resolves to a reserved network address (block: 10.0.0.0/8); it refuses ML backends on this address: the "
        "container was not started with the settings that open labelrig's own subnet (USE_DEFAULT_BANNED_SUBNETS, "
        "USER_ADDITIONAL_BANNED_SUBNETS); run `./inv up` to make it anew",
    ),
    "unknown name": (
        problem(500, UNRESOLVED),
        "cannot connect the ML backend http://sam2:9090: Label Studio at http://label-studio.test answered HTTP 500: "
        "Can't resolve hostname sam2; see the log of the label-studio container (`docker logs`)",
    ),
    "not answering": (
        problem(400, "Validation error", {"non_field_errors": [HEALTH_FAILED]}),
        "cannot connect the ML backend http://sam2:9090: Label Studio at http://label-studio.test answered HTTP 400: "
        "Can't connect to ML backend http://sam2:9090, health check failed. Make sure it is up and your firewall is "
        "properly configured. Learn more about how to set up an ML backend. Additional info: Connection refused",
    ),
}


@pytest.mark.parametrize(("answer", "message"), REFUSALS.values(), ids=REFUSALS)
def test_a_refused_backend_is_an_error_and_leaves_no_row(bench: Bench, answer: httpx.Response, message: str) -> None:
    bench.server.refuse_backend = answer
    with pytest.raises(LabelStudioError) as caught:
        bench.apply()
    assert str(caught.value) == message
    assert bench.server.backends == {}


def test_second_rows_of_the_backend_are_removed(bench: Bench) -> None:
    bench.apply()
    kept = next(iter(bench.server.backends.values()))
    bench.server.backends[88] = kept | {"id": 88, "url": "http://SAM2:9090/"}
    bench.server.backends[89] = kept | {"id": 89, "url": "http://other:9090"}
    kept |= {"is_interactive": False}
    assert bench.apply() == [
        "remove ML backend 88, a second one at http://SAM2:9090/",
        "make the ML backend http://sam2:9090 interactive and call it SAM2",
    ]
    assert list(bench.server.backends) == [kept["id"], 89]


def test_another_interactive_backend_before_ours_is_mentioned(bench: Bench) -> None:
    bench.apply()
    ours = next(iter(bench.server.backends.values()))
    bench.server.backends = {1: ours | {"id": 1, "url": "http://other:9090", "title": "mine"}, ours["id"]: ours}
    assert bench.apply() == []
    assert bench.report.notices == [
        "the project has another interactive ML backend before ours, mine at http://other:9090: the editor asks that "
        "one; remove it in the project's settings (Model) to use SAM2"
    ]


@pytest.mark.parametrize(
    ("said", "step"),
    [
        (BANNED, "Label Studio's container was not started with the settings that open labelrig's own subnet; "
                 "run `./inv up` to make it anew"),
        (UNRESOLVED, "the two containers are not on one network; run `./inv up` to start both anew"),
        ("Connection refused", "see the log of the sam2 container (`docker logs`)"),
    ],
)  # fmt: skip
def test_a_backend_that_label_studio_cannot_reach_is_an_error(bench: Bench, said: str, step: str) -> None:
    bench.apply()
    next(iter(bench.server.backends.values())).update(state="DI", error_message=said)
    with pytest.raises(LabelStudioError) as caught:
        bench.apply()
    assert str(caught.value) == (
        f"waited 0 s for Label Studio to reach http://sam2:9090: its state is DI: {said}; {step}"
    )


def test_a_token_that_was_revoked_meanwhile_is_named(bench: Bench) -> None:
    bench.server.tokens.clear()
    with pytest.raises(LabelStudioError) as caught:
        bench.apply()
    assert str(caught.value) == (
        "cannot use the stored token: Label Studio at http://label-studio.test answered HTTP 401: Token is "
        "blacklisted; the stored token is not accepted; delete LABEL_STUDIO_API_KEY from .env and run `./inv up` again"
    )


def test_many_tasks_are_read_page_by_page(bench: Bench) -> None:
    bench.apply()
    paths = [f"{number:04}.png" for number in range(1203)]
    bench.put(*paths)
    bench.server.tasks.clear()
    for path in paths:
        bench.server.add_task(bench.project, f"http://old-host:8080/data/local-files/?d=set/{path}")
    bench.server.calls.clear()
    assert bench.apply() == []
    assert bench.server.calls.count("GET /api/tasks") == 3


def test_a_title_that_differs_is_another_project(bench: Bench) -> None:
    bench.apply()
    bench.spec = dataclasses.replace(bench.spec, title="Another")
    assert bench.apply()[0] == "create project Another with rgbt-sar/v2"
    assert len(bench.server.projects) == 2


def test_importing_the_stage_does_not_import_the_sdk() -> None:
    """It takes seconds, and `./inv` must start in under one."""
    code = "import sys, infra.roles.project, infra.roles.verify; sys.exit('label_studio_sdk' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True, timeout=60)
