"""Masks through a sequence on the containers: predictions by frame, and what was cut off goes on, once.

The demo images are no sequence, so what is looked at is where masks go, not how good they are.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import LabelrigError
from core.report import Report
from dataset.export.tracks import has_notes, propagated
from dataset.importing.target import Shape, results_of
from dataset.propagate import work
from dataset.propagate.command import PropagateOptions, propagate
from dataset.propagate.storing import NewMasks, PredictionStore
from dataset.propagate.tally import Tally
from labeling.tracks import MODEL_VERSION, note_of, without_mask
from labelstudio.bulk import TaskReader, add_annotation
from labelstudio.projects_file import SequencePart
from tests.e2e.clone import Clone
from tests.e2e.conftest import Stack
from tests.e2e.preannotate_cases import predictions, project_of, truth
from tests.e2e.project_cases import Stage, own  # noqa: F401 - a fixture
from tests.e2e.workbench import IMAGE

COUNT = 12


class Cutting(Report):
    """Stops a service when the run has come to a frame, once."""

    def __init__(self, stack: Stack, service: str, frame: int) -> None:
        super().__init__(io.StringIO())
        self._stack, self._service, self._at, self.cut = stack, service, f"propagate: {frame} of ", False

    def progress(self, text: str) -> None:
        """See `Report.progress`."""
        if not self.cut and text.startswith(self._at):
            self.cut = True
            container = self._stack.running.container(self._service)
            assert container is not None
            container.kill()


@pytest.fixture
def frames(own: Stage) -> list[int]:  # noqa: F811
    """The tasks of the demo images in their order; the first is annotated with what was drawn there."""
    tasks = {task.image.rsplit("/", 1)[1]: task.id for task in own.client.tasks(own.project_id, IMAGE)}
    found = [tasks[name] for name in sorted(tasks)]
    name = min(tasks)
    results = []
    for number, one in enumerate(truth(own, name)):
        mask = one.mask()
        size_wh = (mask.shape[1], mask.shape[0])
        shape = Shape(f"drawn{number}", "brush", (one.label,), IMAGE.name, None, size_wh, mask)
        results += results_of(shape, own.spec.labeling, shape.region_id)
    add_annotation(own.client, found[0], {"result": results})
    assert len(found) == COUNT
    return found


def run(stage: Stage, first: int, report: Report | None = None, **options: object) -> Tally:
    asked = PropagateOptions(None, first, **options)  # type: ignore[arg-type]
    report = report or Report(io.StringIO())
    return propagate(stage.client, stage.ctx.exec_in_backend, project_of(stage), SequencePart(), report, asked)


def stored(stage: Stage) -> list[int]:
    """How many propagated predictions each frame has."""
    found = predictions(stage)
    return [sum(one["model_version"] == MODEL_VERSION for one in found[name]) for name in sorted(found)]


def test_frames_get_predictions_of_their_tracks(own: Stage, frames: list[int]) -> None:  # noqa: F811
    tally = run(own, frames[0], frames=3)
    assert tally.frames == 3
    assert stored(own) == [0, 1, 1, 1, *[0] * (COUNT - 4)]
    for rows in predictions(own).values():
        for one in rows:
            notes = [note_of(each) for each in one["result"]]
            assert all(note is not None and note.track.startswith(f"{frames[0]}.drawn") for note in notes)
    assert run(own, frames[0], frames=3).before == 3
    again = run(own, frames[0], frames=3, redo=True)
    assert again.frames == 0
    assert stored(own) == [0, 1, 1, 1, *[0] * (COUNT - 4)]


def test_prediction_keeps_what_has_no_mask(own: Stage, frames: list[int]) -> None:  # noqa: F811
    """Label Studio gives back which tracks were followed into an image and are not there."""
    project, absent = project_of(own).id, {f"{frames[0]}.drawn0": "0123456789ab"}
    store, new = PredictionStore(own.client, project), NewMasks(frames[1], frozenset(absent), absent=absent)
    assert store.store([new]).written == {frames[1]}
    (task,) = TaskReader(own.client, project, with_predictions=True).read([frames[1]])
    assert [without_mask(one.remarks) for one in propagated(task)] == [absent]
    assert store.store([new]).same == {frames[1]}


def test_notes_in_annotations_are_found(own: Stage, frames: list[int]) -> None:  # noqa: F811
    """A mask that was accepted says which track it is of; without any, there are none."""
    run(own, frames[0], frames=1)
    (task,) = TaskReader(own.client, own.project_id, with_predictions=True).read([frames[1]])
    (prediction,) = propagated(task)
    assert not has_notes(own.client, own.project_id)
    add_annotation(own.client, frames[1], {"result": prediction.results})
    assert has_notes(own.client, own.project_id)


@pytest.fixture
def running(stack: Stack) -> Iterator[Stack]:
    """Afterwards the whole stack runs again."""
    yield stack
    start(stack)


def start(stack: Stack) -> None:
    stack.compose.run("start")
    stack.running.wait_until_healthy()


@pytest.mark.slow
@pytest.mark.parametrize(("service", "frame"), [("sam2", 1), ("label-studio", 5)])
def test_killed_services_lose_nothing(
    running: Stack,
    own: Stage,  # noqa: F811
    frames: list[int],
    service: str,
    frame: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`kill -9` of the backend or of Label Studio in the middle: the same command goes on, and nothing is twice.

    How many frames were stored by then is the machine's to say: the backend is ahead of what is stored.
    """
    monkeypatch.setattr(work, "FRAMES_AT_A_TIME", 2)
    cutting = Cutting(running, service, frame)  # the backend is frames ahead of what is stored
    with pytest.raises(LabelrigError):
        run(own, frames[0], cutting)
    assert cutting.cut
    start(running)
    between = stored(own)
    assert set(between) <= {0, 1}
    assert 0 in between[1:]
    tally = run(own, frames[0])
    assert tally.before == sum(between)
    assert stored(own) == [0, *[1] * (COUNT - 1)]


@pytest.mark.slow
def test_killed_command_loses_nothing(stack: Stack, own: Stage, frames: list[int], tmp_path: Path) -> None:  # noqa: F811
    """`kill -9` of the command, sooner and later: what it stored stays, and the next one goes on."""
    clone = Clone.make(tmp_path / "clone", stack.environment)
    clone.projects(own={"title": own.spec.title, "config": own.spec.config, "version": own.spec.version})
    arguments = ("propagate", "--from", str(frames[0]), "--project", "own")
    argv = [sys.executable, str(clone.path / "tasks.py"), "--search-root", str(clone.path), *arguments]
    quiet, before = subprocess.DEVNULL, 0
    for seconds in (3.0, 6.0, 9.0):
        process = subprocess.Popen(
            argv, env=clone.environment, cwd=clone.path, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
        )
        try:
            process.wait(seconds)  # on a quick machine it is done by then
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(60)
        now = stored(own)
        assert set(now) <= {0, 1}
        assert sum(now) >= before
        before = sum(now)
    done = clone.inv(*arguments)
    assert done.returncode == 0, done.stderr
    assert stored(own) == [0, *[1] * (COUNT - 1)]
