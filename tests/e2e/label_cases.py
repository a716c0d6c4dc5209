"""A project's life on a real Label Studio: labels that go are refused, renamed or forced; drift is seen and pulled.

As `project_cases`, they take a `stage` fixture, and work in a project of their own.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import LabelStudioError, SettingsError
from core.operation import Previewer, converge
from core.report import Report
from core.repository import REPOSITORY
from infra.projects.pulling import ProjectPulled
from infra.roles.project.labeling import Migration
from infra.roles.project.project import ProjectPresent, get_project
from labelstudio.bulk import add_tasks
from labelstudio.client import Client
from labelstudio.config import ProjectSpec, load_project
from labelstudio.label_use import Rename
from tests.e2e.project_cases import Stage
from tests.e2e.workbench import IMAGE, stroke, without_age

SIZE_WH = (64, 48)
RENAME = Migration([Rename("Debris", "Rubble")])


@dataclass(frozen=True)
class Life:
    """A project and a clone of its own, in which `Debris` becomes `Rubble` with version 3."""

    stage: Stage
    repository: Path
    title: str

    def spec(self, version: int) -> ProjectSpec:
        path = self.repository / "labeling_configs" / "projects.yaml"
        path.write_text(re.sub(r"version: \d+", f"version: {version}", path.read_text()))
        return replace(load_project(self.repository, "rgbt-sar"), title=self.title)

    @property
    def client(self) -> Client:
        return self.stage.client

    @property
    def project(self) -> int:
        return get_project(self.client, self.title).id

    def apply(self, version: int, migration: Migration = Migration()) -> Report:  # noqa: B008 - frozen
        report = Report(io.StringIO())
        with report.stage("project"):
            converge([self.present(version, report, migration)], report)
        return report

    def plan(self, version: int, migration: Migration = Migration()) -> Report:  # noqa: B008 - frozen
        report = Report(io.StringIO())
        with report.stage("project"):
            Previewer(report).run([self.present(version, report, migration)])
        return report

    def present(self, version: int, report: Report, migration: Migration = Migration()) -> ProjectPresent:  # noqa: B008
        """The one operation of the role that looks at labels; `project_cases` runs them all."""
        context = self.stage.ctx
        return ProjectPresent(context.access, self.spec(version), context.exec_in_label_studio, report, migration)

    def annotate(self, *labels: str) -> tuple[int, int]:
        """An annotation, a draft and a prediction with these labels; the ids of the task and the annotation."""
        task = next(self.client.tasks(self.project, IMAGE))
        results = [region for label in labels for region in regions(label)]
        annotation = self.client.sdk.annotations.create(task.id, result=results)
        self.client.sdk.predictions.create(task=task.id, result=results, model_version="by hand", score=0.5)
        self.client._request("save a draft", "POST", f"/api/tasks/{task.id}/drafts", json={"result": results})
        assert annotation.id is not None
        return task.id, annotation.id

    def everything(self, task: int) -> dict[str, Any]:
        found: dict[str, Any] = self.client._request("read a task", "GET", f"/api/tasks/{task}").json(
            object_hook=without_age
        )
        return found


def regions(label: str) -> list[dict[str, object]]:
    """A mask as the editor saves it with one palette: the brush's result, and the label's, with one id."""
    mask = np.zeros((SIZE_WH[1], SIZE_WH[0]), bool)
    mask[5:20, 8:30] = True
    brush = stroke(mask, type="brush")
    value = brush["value"]
    assert isinstance(value, dict)
    del value["brushlabels"]
    named = {**brush, "type": "labels", "from_name": "label", "value": {**value, "labels": [label]}}
    return [dict(brush), named]


@pytest.fixture
def life(stage: Stage, tmp_path: Path) -> Iterator[Life]:
    shutil.copytree(REPOSITORY / "labeling_configs", tmp_path / "labeling_configs")
    folder = tmp_path / "labeling_configs" / "rgbt-sar"
    (folder / "v3.xml").write_text((folder / "v2.xml").read_text().replace("Debris", "Rubble"))
    one = Life(stage, tmp_path, f"Test {uuid.uuid4().hex[:12]}")
    one.apply(2)
    add_tasks(one.client, one.project, [{"image": f"/data/local-files/?d={stage.ctx.folder.name}/scene-01.png"}])
    yield one
    for project in one.client.projects(one.title):
        one.client.sdk.projects.delete(project.id)


def test_a_label_in_use_is_not_taken_away(life: Life) -> None:
    _, annotation = life.annotate("Debris", "Sky")
    assert life.plan(2).changed == 0

    planned = life.plan(3)
    assert planned.stages[0].changed == [
        f"replace the labeling configuration of {life.title} by rgbt-sar/v3 (it is v2): REFUSED, it would orphan "
        "Debris: 1 in annotations, 1 in drafts, 1 in predictions"
    ]
    assert '-    <Label value="Debris"' in planned.diffs[0]["diff"]
    with pytest.raises(SettingsError) as caught:
        life.apply(3)
    assert str(caught.value) == (
        f"rgbt-sar/v3 would orphan labels that are in use in {life.title}: Debris: 1 in annotations, 1 in drafts, 1 in "
        "predictions. Nothing was changed; name their successors with --rename OLD=NEW, or leave them as they are with "
        "--force"
    )
    assert "Debris" in life.client.project(life.project).label_config
    assert life.client.sdk.annotations.get(annotation).result is not None


def test_a_label_is_renamed_in_everything(life: Life) -> None:
    task, _ = life.annotate("Debris", "Sky")
    before = life.everything(task)

    planned = life.plan(3, RENAME)
    assert planned.stages[0].changed == [
        f"replace the labeling configuration of {life.title} by rgbt-sar/v3 (it is v2), renaming Debris to Rubble "
        "(Debris: 1 in annotations, 1 in drafts, 1 in predictions)"
    ]
    assert life.everything(task) == before

    report = life.apply(3, RENAME)

    after = life.everything(task)
    for kind in ("annotations", "drafts", "predictions"):
        (old,), (new,) = before[kind], after[kind]
        assert labels_of(old) == ["Debris", "Sky"]
        assert labels_of(new) == ["Rubble", "Sky"]
        # Nothing else of it has changed: the masks, the ids, who drew it and when.
        assert json.dumps(new).replace("Rubble", "Debris") == json.dumps(old)
    assert "Rubble" in life.client.project(life.project).label_config
    (notice,) = [one for one in report.notices if "renamed" in one]
    assert notice.startswith(
        "labels renamed in 1 annotations, 1 drafts, 1 predictions of 1 tasks; the rows as they were"
    )
    assert backup_of(life, notice) == {("annotations", "Debris"), ("drafts", "Debris"), ("predictions", "Debris")}

    # What somebody saves with the old name afterwards, in a page that was open, can be renamed too.
    late = life.client.sdk.annotations.create(task, result=regions("Debris"))
    assert late.id is not None
    assert life.apply(3, RENAME).stages[0].changed == [
        f"rename labels in {life.title}: Debris to Rubble (Debris: 1 in annotations)"
    ]
    assert labels_of(life.client.sdk.annotations.get(late.id).model_dump()) == ["Rubble"]
    assert life.plan(3, RENAME).changed == 0


def labels_of(row: dict[str, Any]) -> list[str]:
    return [label for one in row["result"] if one["type"] == "labels" for label in one["value"]["labels"]]


def backup_of(life: Life, notice: str) -> set[tuple[str, str]]:
    """The kinds and renamed labels in the backup file that a notice names."""
    found = re.search(r"are in (\S+) in the", notice)
    assert found is not None
    shown = life.stage.ctx.exec_in_label_studio("sh", "-c", 'base64 "$1"', "sh", found[1]).stdout
    head, *rows = gzip.decompress(base64.b64decode(shown)).decode().splitlines()
    assert json.loads(head)["renames"] == {"Debris": "Rubble"}
    return {(one["kind"], labels_of(one)[0]) for one in map(json.loads, rows)}


def test_force_leaves_orphans_as_they_are(life: Life) -> None:
    task, _ = life.annotate("Debris")
    before = life.everything(task)
    changed = life.apply(3, Migration(force=True)).stages[0].changed
    assert changed[0].endswith("leaving orphans (Debris: 1 in annotations, 1 in drafts, 1 in predictions)")
    assert life.everything(task) == before
    assert "Rubble" in life.client.project(life.project).label_config


def test_drift_is_seen_and_pulled_as_the_next_version(life: Life) -> None:
    changed = life.client.project(life.project).label_config.replace("Command-Post", "Drone")
    life.client.update_project(
        life.project, label_config=changed, description="By hand: ñ", sampling="Uniform sampling"
    )

    planned = life.plan(2)
    assert planned.notices == [
        f"drift: the labeling configuration of {life.title} was changed in the browser and is not a version of "
        "rgbt-sar; `./inv project.pull` makes it the next version"
    ]
    assert planned.changed == 3

    pull(life)

    text = (life.repository / "labeling_configs" / "projects.yaml").read_text()
    assert "    version: 4\n    sampling: uniform\n" in text
    assert "    description: 'By hand: ñ'\n" in text
    assert (life.repository / "labeling_configs" / "rgbt-sar" / "v4.xml").read_text().strip() == changed
    assert "  rgbt-sar/v4.xml\n" in (life.repository / "labeling_configs" / "versions.lock").read_text()
    assert life.plan(4).changed == 0
    assert pull(life) == 0


def pull(life: Life) -> int:
    report = Report(io.StringIO())
    spec = load_project(life.repository, "rgbt-sar")
    return converge([ProjectPulled(life.repository, spec, life.client.project(life.project), report)], report)


def test_a_drifted_configuration_that_is_replaced_is_kept(life: Life, tmp_path: Path) -> None:
    changed = life.client.project(life.project).label_config.replace("Command-Post", "Drone")
    life.client.update_project(life.project, label_config=changed)
    report = Report(io.StringIO())
    present = replace(life.present(2, report), keep=tmp_path / "kept")
    assert converge([present], report) == 1
    (kept,) = (tmp_path / "kept").iterdir()
    assert kept.read_text().strip() == changed
    assert "Command-Post" in life.client.project(life.project).label_config


def test_a_rename_to_a_label_that_is_not_there_changes_nothing(life: Life) -> None:
    with pytest.raises(SettingsError, match="the new labeling configuration has no label 'Junk'"):
        life.apply(3, Migration([Rename("Debris", "Junk")]))
    with pytest.raises(SettingsError, match="still has the label 'Sky'"):
        life.apply(3, Migration([Rename("Sky", "Road")]))
    assert "Debris" in life.client.project(life.project).label_config


def test_a_project_that_went_meanwhile_is_one_sentence(life: Life) -> None:
    life.client.sdk.projects.delete(life.project)
    with pytest.raises(LabelStudioError, match=f"has no project '{life.title}'"):
        get_project(life.client, life.title)
