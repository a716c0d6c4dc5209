"""The project stage's operations against the fake Label Studio: create, stay still, heal, refuse."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import httpx
import pytest

from infra.errors import LabelStudioError
from infra.operations.project import ProjectPresent
from infra.settings import REPOSITORY
from tests.unit.infra.labelstudio_bench import BACKEND, Bench
from tests.unit.infra.labelstudio_fake import (
    BANNED,
    HEALTH_FAILED,
    UNRESOLVED,
    problem,
)


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


def test_options_of_the_project_reach_the_backend_and_come_back_when_changed(bench: Bench) -> None:
    bench.spec = dataclasses.replace(bench.spec, backend_options={"keep": "clicked", "polygon_tolerance_pixels": 2.5})
    bench.apply()
    (row,) = bench.server.backends.values()
    assert row["extra_params"] == {"keep": "clicked", "polygon_tolerance_pixels": 2.5}
    row["extra_params"] = {"keep": "all"}
    assert bench.apply() == [
        "set the options of the ML backend http://sam2:9090: keep=clicked, polygon_tolerance_pixels=2.5"
    ]
    assert row["extra_params"] == {"keep": "clicked", "polygon_tolerance_pixels": 2.5}


def test_options_chosen_in_the_browser_stay_where_the_project_says_nothing(bench: Bench) -> None:
    bench.apply()
    (row,) = bench.server.backends.values()
    row["extra_params"] = {"keep": "all"}
    assert bench.apply() == []


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
        url = f"http://old-host:8080/data/local-files/?d=set/{path}"
        bench.server.add_task(bench.project, url, file=f"/label-studio/files/set/{path}")
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
