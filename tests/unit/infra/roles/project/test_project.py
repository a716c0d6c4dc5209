"""The project stage's operations against the fake Label Studio: create, stay still, heal, refuse."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.errors import LabelStudioError, SettingsError
from core.repository import REPOSITORY
from infra.roles.project.labeling import Migration
from infra.roles.project.project import MembersKnown, ProjectPresent
from labeling.config import read_config
from labeling.image_names import file_pattern
from labelstudio.label_use import Rename
from tests.unit.infra.roles.project.labelstudio_bench import BACKEND, Bench
from tests.unit.labelstudio.labelstudio_fake import (
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
        "regex_filter": file_pattern(".*png"),
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

    bench.inside.modules["labels"] = lambda _asked: {"uses": []}

    changes = ProjectPresent(bench.access, bench.spec, bench.inside, bench.report).plan()

    assert [change.summary for change in changes] == [
        "replace the labeling configuration of RGBT-SAR by rgbt-sar/v2",
        "let RGBT-SAR call the model when a task opens (show_collab_predictions), to warm it up",
    ]
    assert '-    <Label value="Heaven" background="#29B6F6" hotkey="7"/>' in changes[0].diff
    assert '+    <Label value="Sky" background="#29B6F6" hotkey="7"/>' in changes[0].diff
    assert len(bench.apply()) == 2
    assert bench.apply() == []


def test_refused_configuration_is_an_error(bench: Bench) -> None:
    """The message holds the reason of Label Studio."""
    bench.apply()
    bench.server.projects[bench.project]["label_config"] = '<View><Image name="image" value="$image"/></View>'
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


def test_options_reach_the_backend(bench: Bench) -> None:
    """Options that were changed in Label Studio are put back."""
    bench.spec = dataclasses.replace(bench.spec, backend_options={"keep": "clicked", "polygon_tolerance_pixels": 2.5})
    bench.apply()
    (row,) = bench.server.backends.values()
    assert row["extra_params"] == {"keep": "clicked", "polygon_tolerance_pixels": 2.5}
    row["extra_params"] = {"keep": "all"}
    assert bench.apply() == [
        "set the options of the ML backend http://sam2:9090: keep=clicked, polygon_tolerance_pixels=2.5"
    ]
    assert row["extra_params"] == {"keep": "clicked", "polygon_tolerance_pixels": 2.5}


def test_options_of_the_browser_stay(bench: Bench) -> None:
    """Where the project declares none, those chosen in the browser stay."""
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
        (BANNED, "Label Studio's container was not started with the settings that open the backend's address; "
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
    code = "import sys; from infra.roles.project import role, verify; sys.exit('label_studio_sdk' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True, timeout=60)


def uses(*given: list[object]) -> dict[str, object]:
    return {"uses": list(given)}


def drifted(bench: Bench, label: str = "Sky") -> None:
    project = bench.server.projects[bench.project]
    project["label_config"] = project["label_config"].replace(f'value="{label}"', 'value="Heaven"')


def test_a_label_in_use_that_would_go_is_shown_and_refused(bench: Bench) -> None:
    bench.inside.modules["labels"] = lambda _asked: uses(["annotations", "label", "labels", "Heaven", 3])
    bench.apply()
    drifted(bench)
    (change,) = bench.operations()[0].plan()
    assert change.summary == (
        "replace the labeling configuration of RGBT-SAR by rgbt-sar/v2: REFUSED, it would orphan Heaven: 3 in "
        "annotations"
    )
    with pytest.raises(SettingsError, match=r"would orphan labels that are in use in RGBT-SAR: Heaven: 3 in annot"):
        bench.apply()
    assert not any(call.startswith("PATCH /api/projects") for call in bench.server.calls)


def test_a_rename_is_sent_with_the_configuration(bench: Bench) -> None:
    bench.apply()
    drifted(bench)
    there = [["drafts", "label", "labels", "Heaven", 2]]

    def labels(asked: dict[str, Any]) -> list[dict[str, object]]:
        if asked["do"] == "count":
            return [uses(*there)]
        there.clear()
        bench.server.projects[asked["project"]]["label_config"] = asked["label_config"]
        counts = {"annotations": 0, "drafts": 2, "predictions": 0}
        return [{"done": 1, "tasks": 1}, {"renamed": counts, "tasks": 1, "backup": "/x.jsonl.gz"}]

    bench.inside.modules["labels"] = labels
    bench.migration = Migration([Rename("Heaven", "Sky")])
    assert bench.apply() == [
        "replace the labeling configuration of RGBT-SAR by rgbt-sar/v2, renaming Heaven to Sky (Heaven: 2 in drafts)"
    ]
    sent = next(asked for name, asked in bench.inside.asked if name == "labels" and asked["do"] == "relabel")
    assert sent["renames"] == [["Heaven", "Sky"]]
    assert bench.report.notices[-2] == (
        "labels renamed in 0 annotations, 2 drafts, 0 predictions of 1 tasks; the rows as they were are in /x.jsonl.gz "
        "in the label-studio container's volume"
    )
    assert bench.apply() == []


def test_a_rename_of_a_label_that_nobody_knows_is_refused(bench: Bench) -> None:
    bench.inside.modules["labels"] = lambda _asked: uses()
    bench.apply()
    bench.migration = Migration([Rename("Haeven", "Sky")])
    assert bench.apply() == []
    assert bench.report.notices == ["nothing in RGBT-SAR has the label 'Haeven' now"]
    drifted(bench)
    with pytest.raises(SettingsError) as caught:
        bench.apply()
    assert str(caught.value) == (
        "--rename Haeven=...: no version of rgbt-sar has a label 'Haeven', and nothing in RGBT-SAR has it"
    )


def test_a_variable_that_the_tasks_do_not_have_is_refused(bench: Bench) -> None:
    bench.inside.modules["labels"] = lambda _asked: uses()
    bench.apply()
    before = bench.server.projects[bench.project]["label_config"]
    other = read_config(before.replace("$image", "$photo"))
    bench.spec = dataclasses.replace(bench.spec, version=3, labeling=other)
    with pytest.raises(SettingsError) as caught:
        bench.operations()[0].plan()
    assert str(caught.value) == (
        "rgbt-sar/v3 shows $photo, and the 2 tasks of RGBT-SAR have image; nothing was changed: keep the variable's "
        "name, or give the configuration to a project with another title"
    )
    bench.server.tasks.clear()
    assert len(bench.operations()[0].plan()) == 1


def test_replaced_configuration_is_kept(bench: Bench, tmp_path: Path) -> None:
    """A configuration that was made in the browser is saved before it is replaced."""
    bench.inside.modules["labels"] = lambda _asked: uses()
    bench.keep = tmp_path / "kept"
    bench.apply()
    drifted(bench)
    text = bench.server.projects[bench.project]["label_config"]
    assert len(bench.apply()) == 1
    (kept,) = bench.keep.iterdir()
    assert kept.read_text() == text + "\n"


def test_another_version_is_no_drift(bench: Bench) -> None:
    bench.inside.modules["labels"] = lambda _asked: uses()
    bench.apply()
    bench.server.projects[bench.project]["label_config"] = bench.spec.versions[1].replace(">\n", ">\n\n").strip()
    assert bench.apply() == ["replace the labeling configuration of RGBT-SAR by rgbt-sar/v2 (it is v1)"]
    assert bench.report.notices == []


def test_sampling_and_interactivity_are_set(bench: Bench) -> None:
    bench.apply()
    bench.spec = dataclasses.replace(bench.spec, sampling="uniform", interactive=False)
    assert bench.apply() == [
        "give out the tasks of RGBT-SAR by uniform sampling",
        "make the ML backend http://sam2:9090 not interactive and call it SAM2",
    ]
    assert bench.server.projects[bench.project]["sampling"] == "Uniform sampling"
    assert bench.apply() == []


def test_members_without_an_account_are_named(bench: Bench) -> None:
    spec = dataclasses.replace(bench.spec, members=("Admin@labelrig.local", "ana@lab.example"))
    assert MembersKnown(bench.access, spec, bench.report).plan() == []
    assert bench.report.notices == [
        "ana@lab.example: no account yet; `./inv user.add --members` makes those that are missing, or send the invite "
        "link that Label Studio shows under Organization, Add People"
    ]
