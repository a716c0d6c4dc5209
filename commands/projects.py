"""Tasks on projects: project.plan, .apply, .pull, .sync, preannotate, propagate, stats, embed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from commands.base import LOCK_WAIT_HELP, decimal, host_task, number, run_options
from dataset.propagate.help import HELP as PROPAGATE_HELP
from labeling.tracks import LEAST_SCORE, LOST_AFTER

if TYPE_CHECKING:
    from infra.fleet.choice import Choice, Outcome
    from infra.fleet.on_hosts import Work

PROJECT = {
    "project": "a project, by its name in projects.yaml or its title (default: the default project of that file)"
}
PROJECTS = {
    "project": "a project, by its name in projects.yaml or its title; may be given several times (default: all)",
}
RENAME = {
    "rename": "OLD=NEW: a label that gets another name in every annotation, draft and prediction; may be given again",
    "force": "leave what a removed label orphans as it is",
}


@host_task({**PROJECTS, **RENAME}, ["project", "rename"], here=True)
def plan(choice: Choice, project: list[str], rename: list[str], force: bool = False) -> Outcome:
    """Show what `project.apply` would change in Label Studio, with diffs; nothing is changed."""
    from infra.projects.applying import plan_projects
    from infra.roles.project.labeling import Migration
    from labelstudio.label_use import Rename

    migration = Migration([Rename.parse(one) for one in rename], force)
    return do("project.plan", lambda session: plan_projects(session, project, migration), choice)


@host_task(
    {**PROJECTS, **RENAME, "dry_run": "only show it, as project.plan does", "lock_wait": LOCK_WAIT_HELP},
    ["project", "rename"],
    here=True,
)
def apply(
    choice: Choice,
    project: list[str],
    rename: list[str],
    force: bool = False,
    dry_run: bool = False,
    *,
    lock_wait: str | None = None,
) -> Outcome:
    """Make the projects in Label Studio what labeling_configs/projects.yaml says; labels in use are never orphaned."""
    from infra.projects.applying import apply_projects, plan_projects
    from infra.roles.project.labeling import Migration
    from labelstudio.label_use import Rename

    migration = Migration([Rename.parse(one) for one in rename], force)
    step = plan_projects if dry_run else apply_projects
    work: Work = lambda session: step(session, project, migration)  # noqa: E731
    return do("project.apply", work, choice, changes=not dry_run, lock_wait=lock_wait)


@host_task({**PROJECTS, "dry_run": "only show it"}, ["project"], here=True)
def pull(choice: Choice, project: list[str], dry_run: bool = False) -> Outcome:
    """Write what was changed in the browser into the clone, a changed configuration as its next version."""
    from core.operation import Applier, Previewer
    from core.repository import REPOSITORY
    from infra.projects.pulling import pull_projects

    runner = Previewer if dry_run else Applier
    work: Work = lambda session: pull_projects(session, project, REPOSITORY, runner(session.report))  # noqa: E731
    return do("project.pull", work, choice, one_host=True)


@host_task({**PROJECTS, "lock_wait": LOCK_WAIT_HELP}, ["project"], here=True)
def sync(choice: Choice, project: list[str], *, lock_wait: str | None = None) -> Outcome:
    """Make tasks of new image files, and name the files that have vanished."""
    from infra.projects.applying import sync_projects

    work: Work = lambda session: sync_projects(session, project)  # noqa: E731
    return do("project.sync", work, choice, changes=True, lock_wait=lock_wait)


@host_task(
    {
        **PROJECT,
        "boxes": "annotations, predictions, a COCO file, or a folder of YOLO text files",
        "everything": "all objects that SAM2 finds in each image, without boxes",
        "label": "THEIRS=OURS: what a label of the boxes is called in the project; may be given several times. With "
        "--everything: what all objects are called (default: they get no label)",
        "image": "only the images of this tag, where a task has several images",
        "also_annotated": "make masks for images that people have annotated too; their annotations stay as they are",
        "skip_broken": "leave out boxes that cannot be read, and name them",
    },
    ["label"],
    here=True,
)
def preannotate(
    choice: Choice,
    label: list[str],
    boxes: str | None = None,
    everything: bool = False,
    project: str | None = None,
    image: str | None = None,
    also_annotated: bool = False,
    skip_broken: bool = False,
) -> Outcome:
    """Make SAM2 masks of boxes, or of all objects, as predictions; run it again to resume."""
    from core.errors import SettingsError
    from dataset.preannotate.command import PreannotateOptions, read_boxes
    from dataset.preannotate.command import preannotate as work_on
    from dataset.preannotate.everything import EverythingOptions, preannotate_everything
    from labelstudio.label_use import Rename

    if everything:
        if boxes is not None or skip_broken:
            raise SettingsError("--everything: there are no boxes; leave --boxes and --skip-broken out")
        wanted = EverythingOptions.of(project, label, image, also_annotated=also_annotated)
        return do("preannotate", lambda session: preannotate_everything(session, wanted), choice)
    if boxes is None:
        raise SettingsError("say what the masks are made of: --boxes WHAT, or --everything")

    names = [Rename.parse(one, "--label") for one in label]
    labels = {one.old: one.new for one in names}
    options = PreannotateOptions(project, boxes, labels, image, also_annotated, skip_broken)
    file = read_boxes(options)
    return do("preannotate", lambda session: work_on(session, options, file), choice)


@host_task({**PROJECT, **{name.replace("-", "_"): text for name, text in PROPAGATE_HELP.items()}}, here=True)
def propagate(
    choice: Choice,
    from_: str,
    project: str | None = None,
    to: str | None = None,
    frames: str | None = None,
    backward: bool = False,
    objects: str | None = None,
    redo: bool = False,
    lost_after: str | None = None,
    least_score: str | None = None,
    image: str | None = None,
) -> Outcome:
    """Follow an annotated image's masks into the images after it; run it again to resume. Annotations never change."""
    from dataset.propagate.command import PropagateOptions, run_propagate

    start = number("--from", from_)
    names = frozenset(filter(None, map(str.strip, (objects or "").split(","))))
    options = PropagateOptions(
        project, start or 0, number("--to", to), number("--frames", frames), backward, names, redo,
        LOST_AFTER if lost_after is None else number("--lost-after", lost_after) or 0, image,
        decimal("--least-score", least_score, LEAST_SCORE),
    )  # fmt: skip
    return do("propagate", lambda session: run_propagate(session, options), choice, one_host=True)


@host_task({**PROJECT, "html": "the page to write (default: stats.html here; `-` writes none)"}, here=True)
def stats(choice: Choice, project: str | None = None, html: str = "stats.html") -> Outcome:
    """Count images, annotations and masks of a project: a table, and a page with pictures to look at."""
    from pathlib import Path

    from dataset.stats.command import stats as count

    page = None if html == "-" else Path(html).expanduser().absolute()
    return do("stats", lambda session: count(session, project, page), choice, one_host=True)


@host_task(
    {
        **PROJECT,
        "folder": "instead: every image of a connected folder, by its name below /label-studio/files",
        "stop": "end the jobs that run; what was encoded stays",
    },
    here=True,
)
def embed(choice: Choice, project: str | None = None, folder: str | None = None, stop: bool = False) -> Outcome:
    """Encode a project's images ahead of the clicks; run it again to resume. Annotators' clicks come first."""
    from dataset.embed.command import EmbedOptions, run_embed

    options = EmbedOptions(project, folder, stop)
    return do("embed", lambda session: run_embed(session, options), choice)


def do(
    name: str,
    work: Work,
    choice: Choice,
    *,
    changes: bool = False,
    lock_wait: str | None = None,
    one_host: bool = False,
) -> Outcome:
    """Do the work on the hosts that were named, else on this machine."""
    from infra.fleet.on_hosts import only_one, run_work

    options = run_options(name, lock_wait=lock_wait)
    return run_work(only_one(choice) if one_host else choice, options, work, changes=changes)
