"""Label Studio goes away in the middle of long work: one clear error, nothing half-written, and a rerun completes.

Each case stops the real container from inside the work's own progress, so that it is always in the middle.
"""

from __future__ import annotations

import dataclasses
import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from core.errors import LabelrigError
from core.operation import converge
from core.report import Report
from core.repository import REPOSITORY
from dataset.export.formats import ExportOptions
from dataset.export.labeling import used_config
from dataset.export.run import Export, ExportSummary
from dataset.export.selection import Selection
from dataset.preannotate.boxes import Box
from dataset.preannotate.work import Preannotation, Tally, states
from infra.roles.project.role import project_role
from labelstudio.bulk import add_tasks
from tests.e2e.conftest import Stack
from tests.e2e.preannotate_cases import predictions, project_of
from tests.e2e.project_cases import Stage, own  # noqa: F401 - a fixture
from tests.e2e.workbench import IMAGE

SERVICE = "label-studio"
FILES = 700  # more than one batch of the filling
TASKS = 60  # more than the export reads at first


class Cutting(Report):
    """Stops Label Studio when it hears something, once."""

    def __init__(self, stack: Stack, at: Callable[[str], bool]) -> None:
        super().__init__(io.StringIO())
        self._stack, self._at, self.cut = stack, at, False

    def progress(self, text: str) -> None:
        """See `Report.progress`."""
        if not self.cut and self._at(text):
            self.cut = True
            container = self._stack.running.container(SERVICE)
            assert container is not None
            container.stop(timeout=0)


@pytest.fixture
def cutting(stack: Stack) -> Iterator[Callable[[Callable[[str], bool]], Cutting]]:
    """Makes such a report; afterwards Label Studio runs."""
    yield lambda at: Cutting(stack, at)
    restart(stack)


def restart(stack: Stack) -> None:
    stack.compose.run("start", SERVICE)
    stack.running.wait_until_healthy()


def test_an_export_leaves_nothing_and_is_made_by_the_next_run(
    stack: Stack, stage: Stage, tmp_path: Path, cutting: Callable[[Callable[[str], bool]], Cutting]
) -> None:
    text = stage.spec.labeling.text
    project_id = stage.client.create_project("Gone while exporting", "", text)
    try:
        url = f"/data/local-files/?d={stage.ctx.folder.name}/scene-01.png"
        add_tasks(stage.client, project_id, [{"image": url} for _ in range(TASKS)])
        project = stage.client.project(project_id)

        def export(report: Report) -> ExportSummary:
            config = used_config(REPOSITORY, project.label_config, project.title, None, None)
            options, every = ExportOptions(format="coco"), Selection(annotated_only=False)
            classes = tmp_path / "classes.lock"
            return Export(
                stage.client, project, config, every, options, REPOSITORY, report, classes
            ).run(tmp_path / "out")  # fmt: skip

        with pytest.raises(LabelrigError, match=r"nothing answers at .*; is the label-studio container running\?"):
            export(cutting(lambda text: text.startswith("export: 3 of ")))
        assert list(tmp_path.iterdir()) == []
        restart(stack)
        assert export(Report(io.StringIO())).images == 1  # which all of the tasks show
    finally:
        stage.client.sdk.projects.delete(project_id)


@pytest.mark.slow
def test_a_sync_goes_on_where_it_was(
    stack: Stack,
    own: Stage,  # noqa: F811
    cutting: Callable[[Callable[[str], bool]], Cutting],
) -> None:
    folder = Path(own.ctx.folder.path) / "gone while syncing"
    folder.mkdir()
    folder.chmod(0o755)
    try:
        for number in range(FILES):
            path = folder / f"{number:04}.png"
            Image.new("RGB", (8, 8)).save(path)
            path.chmod(0o644)

        def sync(report: Report) -> None:
            converge(project_role(own.spec, dataclasses.replace(own.ctx, report=report)), report)

        with pytest.raises(LabelrigError, match="the label-studio container stopped in the middle of the work"):
            sync(cutting(lambda text: text.startswith("images: 500 of ")))
        restart(stack)
        assert 500 <= len(own.images()) < FILES + 12
        sync(Report(io.StringIO()))
        images = own.images()
        assert len(images) == len(set(images)) == FILES + 12
        assert own.apply() == []
    finally:
        shutil.rmtree(folder)


def test_preannotations_are_stored_once(
    stack: Stack,
    own: Stage,  # noqa: F811
    cutting: Callable[[Callable[[str], bool]], Cutting],
) -> None:
    boxes = {task.id: [Box("Road", 10, 10, 30, 30)] for task in own.client.tasks(own.project_id, IMAGE)}
    project = project_of(own)
    tasks = {one.id: one for one in states(own.client, project, None, Report(io.StringIO()))}

    def work(report: Report) -> Tally:
        return Preannotation(own.client, own.ctx.exec_in_backend, project, report).go(boxes, tasks)

    with pytest.raises(LabelrigError, match="nothing answers at "):
        work(cutting(lambda text: text.startswith("preannotate: 5 of 12 ")))
    restart(stack)
    tally = work(Report(io.StringIO()))
    assert tally.before + tally.images == 12
    assert [len(rows) for rows in predictions(own).values()] == [1] * 12
