"""`./inv propagate`: the masks of an annotated image, followed into the images after it with SAM2's memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from core.errors import LabelStudioError, SettingsError
from core.report import Report
from core.repository import REPOSITORY
from core.text import some
from dataset.export.labeling import UsedConfig, check_image, read_labeling
from dataset.export.selection import Selection
from dataset.export.tracks import propagated
from dataset.importing.target import way_of
from dataset.propagate.objects import AnnotatedFrame, annotated_frame
from dataset.propagate.plan import Plan, PredictedFrame, plan_of
from dataset.propagate.sequences import Frame, sequence_with, sequences
from dataset.propagate.storing import PredictionStore, is_annotated
from dataset.propagate.tally import Tally
from dataset.propagate.work import Run
from hosts.base import Exec
from infra.fleet.session import Session
from infra.roles.project.ask_backend import model_version
from labeling.config import LabelingConfig
from labeling.tracks import LEAST_SCORE, LOST_AFTER, note_of, without_mask
from labelstudio.bulk import TaskReader, task_rows
from labelstudio.client import Client
from labelstudio.models import Project
from labelstudio.named_project import named_spec
from labelstudio.projects_file import SequencePart


@dataclass(frozen=True)
class PropagateOptions:
    """The options of the command line; see `help.HELP`.

    Attributes:
        start, to: ids of tasks.
    """

    project: str | None
    start: int
    to: int | None = None
    frames: int | None = None
    backward: bool = False
    objects: frozenset[str] = frozenset()
    redo: bool = False
    lost_after: int = LOST_AFTER
    image: str | None = None
    least_score: float = LEAST_SCORE

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            SettingsError: they contradict each other, or a number is too small.
        """
        if self.to is not None and self.frames is not None:
            raise SettingsError("give either --to or --frames")
        for name, number in (("--frames", self.frames), ("--lost-after", self.lost_after)):
            if number is not None and number < 1:
                raise SettingsError(f"{name} {number}: must be 1 or more")
        if not 0 <= self.least_score <= 1:
            raise SettingsError(f"--least-score {self.least_score:g}: must be from 0 to 1")


def run_propagate(session: Session, options: PropagateOptions) -> str:
    """Follow the objects of a frame into those after it. Returns what was done, for people.

    Raises:
        SettingsError: the tasks are in no sequence, or the first has no annotation. Nothing was done.
        LabelStudioError: the backend or Label Studio failed on the way; the same command goes on from there.
    """
    project, spec = session.project(options.project), named_spec(REPOSITORY, options.project)
    rule = SequencePart() if spec is None else spec.sequence
    with session.report.stage(f"propagate {project.title}"):
        sam2 = session.site.exec_in_backend
        tally = propagate(session.access.client(), sam2, project, rule, session.report, options)
    return "\n".join(tally.lines())


def propagate(
    client: Client, sam2: Exec, project: Project, rule: SequencePart, report: Report, options: PropagateOptions
) -> Tally:
    """The same in one project.

    Args:
        sam2: runs a command beside the backend.
        rule: which images of the project follow on each other.
    """
    labeling = read_labeling(project.label_config, f"the project {project.title!r}")
    if labeling.repeaters:
        raise SettingsError(f"the project {project.title!r} repeats its images (<Repeater>), which are no sequence")
    check_image(options.image, labeling)
    config, image = UsedConfig(labeling, None, None), options.image or labeling.images[0].name
    version = model_version(sam2)
    found = sequences(_frames(client, project, config, image), rule)
    sequence, place = sequence_with(found, options.start)
    places = _visited(sequence, place, options)
    visited = list(_read(client, project, sequence, places, config, image, report))
    if not visited or not isinstance(visited[0], AnnotatedFrame):
        raise SettingsError(
            f"--from {options.start} ({sequence[place].name}): people have not annotated it; annotate the first "
            "frame, or name one that is"
        )
    plan = plan_of(
        visited, sequence, options.objects, version,
        backward=options.backward, least_score=options.least_score, lost_after=options.lost_after,
    )  # fmt: skip
    _check(plan, sequence[place], options, project, labeling, image)
    key = f"project-{project.id}-{sequence[0].task}"  # a run in one sequence takes the place of the one before
    run = Run(
        sam2, PredictionStore(client, project.id), labeling, report, image, len(sequence), key, options.backward,
        options.lost_after, options.redo, options.least_score,
    )  # fmt: skip
    try:
        tally = run.go(plan)
    finally:
        report.facts["propagate"] = {**run.tally.as_facts(), "annotated_frames": plan.annotated, "model": version}
    stale = [] if options.redo else [one.frame.name for segment in plan.segments for one in segment.stale()]
    if stale:
        report.notice(
            f"{len(stale)} frames have masks from before an annotated frame was corrected, or of another model, "
            f"--least-score or --lost-after ({some(stale)}): make them again with --redo"
        )
    return tally


def _frames(client: Client, project: Project, config: UsedConfig, image: str) -> Iterator[Frame]:
    for row in task_rows(client, project.id):
        shown = [one for one in config.images_of(row.data) if one.name == image]
        if len(shown) == 1 and shown[0].item_index is None:
            yield Frame(row.id, shown[0].url, row.data)


def _visited(sequence: Sequence[Frame], place: int, options: PropagateOptions) -> list[int]:
    """The places of the frames of a run, from the first on in its direction.

    Raises:
        SettingsError: the last one is not behind the first.
    """
    ahead = list(range(place, -1, -1) if options.backward else range(place, len(sequence)))
    way = "earlier" if options.backward else "later"
    if len(ahead) == 1:
        raise SettingsError(
            f"task {options.start} ({sequence[place].name}) has no {way} frame in its sequence, from "
            f"{sequence[0].path} to {sequence[-1].path}"
        )
    if options.frames is not None:
        return ahead[: options.frames + 1]
    if options.to is None:
        return ahead
    last = next((number for number in ahead[1:] if sequence[number].task == options.to), None)
    if last is None:
        raise SettingsError(
            f"--to {options.to}: no {way} frame of the sequence of task {options.start} is of this task (it goes from "
            f"{sequence[0].path}, task {sequence[0].task}, to {sequence[-1].path}, task {sequence[-1].task})"
        )
    return ahead[: ahead.index(last) + 1]


def _read(
    client: Client,
    project: Project,
    sequence: Sequence[Frame],
    visited: Sequence[int],
    config: UsedConfig,
    image: str,
    report: Report,
) -> Iterator[AnnotatedFrame | PredictedFrame]:
    """What people and earlier runs have drawn on the frames."""
    places = {sequence[place].task: place for place in visited}
    reader = TaskReader(client, project.id, with_predictions=True)
    for count, task in enumerate(reader.read(list(places)), 1):
        report.progress(f"propagate: read {count} of {len(places)} tasks")
        place = places[task.id]
        frame = sequence[place]
        before = propagated(task)
        drawn = before[-1].results if before else []
        if is_annotated(task):
            (chosen,) = Selection().annotations(task.annotations)
            one, problems = annotated_frame(frame, place, chosen.results, drawn, config, image)
            for problem in problems:
                report.notice(problem)
            yield one
        else:
            notes = [note_of(each) for each in drawn if each.get("to_name") == image]
            absent = without_mask(before[-1].remarks) if before else {}
            yield PredictedFrame(frame, place, {note.track: note for note in notes if note is not None}, absent)


def _check(
    plan: Plan, first: Frame, options: PropagateOptions, project: Project, labeling: LabelingConfig, image: str
) -> None:
    """
    Raises:
        SettingsError: the first frame has no such object, or no tag of the project takes masks of one.
        LabelStudioError: there is nothing to follow.
    """
    if first.name in plan.ends and options.objects:
        raise SettingsError(
            f"--objects {', '.join(sorted(options.objects))}: {first.name} (task {first.task}) has no such mask; name "
            "labels, region ids or tracks that it has"
        )
    if not any(segment.tracks or any(segment.ended.values()) for segment in plan.segments):
        why = "has no mask" if first.name in plan.ends else "has no frame after it that is not annotated"
        raise LabelStudioError(f"{project.title}: {first.name} (task {first.task}) {why}: there is nothing to follow")
    for segment in plan.segments:
        for one in segment.tracks.values():
            way_of("brush", one.labels, image, labeling)
