"""Tasks on projects: project.plan, project.apply, project.pull, project.sync."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke.context import Context
from invoke.tasks import task

from commands.base import HOST_HELP, choose, expected_errors_in_words, finish, run_options

if TYPE_CHECKING:
    from infra.fleet.choice import Choice
    from infra.fleet.on_hosts import Work

MANY = ["host", "group", "project"]
PROJECT = "a project, by its name in projects.yaml or its title (default: the default project of that file)"
HELP = {
    **HOST_HELP,
    "host": f"{HOST_HELP['host']}; without one, the stack of this machine",
    "project": "a project, by its name in projects.yaml or its title; may be given several times (default: all)",
    "json": "print the result as JSON on stdout",
}
RENAME_HELP = {
    "rename": "OLD=NEW: a label that gets another name in every annotation, draft and prediction; may be given again",
    "force": "leave what a removed label orphans as it is",
}


@task(iterable=[*MANY, "rename"], help={**HELP, **RENAME_HELP})
@expected_errors_in_words
def plan(
    _context: Context,
    host: list[str],
    group: list[str],
    project: list[str],
    rename: list[str],
    force: bool = False,
    limit: str | None = None,
    inventory: str | None = None,
    json: bool = False,
) -> None:
    """Show what `project.apply` would change in Label Studio, with diffs; nothing is changed."""
    from infra.projects.applying import plan_projects
    from infra.roles.project.labeling import Migration
    from labelstudio.label_use import Rename

    migration = Migration([Rename.parse(one) for one in rename], force)
    choice = choose(host, group, limit, inventory)
    work: Work = lambda session: plan_projects(session, project, migration)  # noqa: E731
    do("project.plan", work, choice, json=json)


@task(
    iterable=[*MANY, "rename"],
    help={**HELP, **RENAME_HELP, "dry_run": "only show it, as project.plan does", "lock_wait": "as of deploy"},
)
@expected_errors_in_words
def apply(
    _context: Context,
    host: list[str],
    group: list[str],
    project: list[str],
    rename: list[str],
    force: bool = False,
    dry_run: bool = False,
    limit: str | None = None,
    inventory: str | None = None,
    lock_wait: str | None = None,
    json: bool = False,
) -> None:
    """Make the projects in Label Studio what labeling_configs/projects.yaml says; labels in use are never orphaned."""
    from infra.projects.applying import apply_projects, plan_projects
    from infra.roles.project.labeling import Migration
    from labelstudio.label_use import Rename

    migration = Migration([Rename.parse(one) for one in rename], force)
    step = plan_projects if dry_run else apply_projects
    choice = choose(host, group, limit, inventory)
    work: Work = lambda session: step(session, project, migration)  # noqa: E731
    do("project.apply", work, choice, json=json, changes=not dry_run, lock_wait=lock_wait)


@task(iterable=MANY, help={**HELP, "dry_run": "only show it"})
@expected_errors_in_words
def pull(
    _context: Context,
    host: list[str],
    group: list[str],
    project: list[str],
    dry_run: bool = False,
    limit: str | None = None,
    inventory: str | None = None,
    json: bool = False,
) -> None:
    """Write what was changed in the browser into the clone, a changed configuration as its next version."""
    from core.operation import Applier, Previewer
    from core.repository import REPOSITORY
    from infra.projects.pulling import pull_projects

    runner = Previewer if dry_run else Applier
    choice = choose(host, group, limit, inventory)
    work: Work = lambda session: pull_projects(session, project, REPOSITORY, runner(session.report))  # noqa: E731
    do("project.pull", work, choice, json=json, one_host=True)


@task(iterable=MANY, help={**HELP, "lock_wait": "as of deploy"})
@expected_errors_in_words
def sync(
    _context: Context,
    host: list[str],
    group: list[str],
    project: list[str],
    limit: str | None = None,
    inventory: str | None = None,
    lock_wait: str | None = None,
    json: bool = False,
) -> None:
    """Make tasks of new image files, and name the files that have vanished."""
    from infra.projects.applying import sync_projects

    choice = choose(host, group, limit, inventory)
    work: Work = lambda session: sync_projects(session, project)  # noqa: E731
    do("project.sync", work, choice, json=json, changes=True, lock_wait=lock_wait)


@task(
    iterable=["host", "group", "label"],
    help={
        **{name: text for name, text in HELP.items() if name != "project"},
        "project": PROJECT,
        "boxes": "annotations, predictions, a COCO file, or a folder of YOLO text files",
        "label": "THEIRS=OURS: what a label of the boxes is called in the project; may be given several times",
        "image": "the image tag that the boxes are of, where a task has several images (default: the first)",
        "also_annotated": "make masks for images that people have annotated too; their annotations stay as they are",
    },
)
@expected_errors_in_words
def preannotate(
    _context: Context,
    host: list[str],
    group: list[str],
    label: list[str],
    boxes: str,
    project: str | None = None,
    image: str | None = None,
    also_annotated: bool = False,
    limit: str | None = None,
    inventory: str | None = None,
    json: bool = False,
) -> None:
    """Make SAM2 masks of boxes, as predictions; run it again to go on. What people annotated is never changed."""
    from dataset.preannotate.command import PreannotateOptions, read_boxes
    from dataset.preannotate.command import preannotate as work_on
    from labelstudio.label_use import Rename

    names = [Rename.parse(one, "--label") for one in label]
    labels = {one.old: one.new for one in names}
    options = PreannotateOptions(project, boxes, labels, image, also_annotated)
    file = read_boxes(options)
    work: Work = lambda session: work_on(session, options, file)  # noqa: E731
    do("preannotate", work, choose(host, group, limit, inventory), json=json)


@task(
    iterable=["host", "group"],
    help={
        **{name: text for name, text in HELP.items() if name != "project"},
        "project": PROJECT,
        "html": "the page to write (default: stats.html here; `-` writes none)",
    },
)
@expected_errors_in_words
def stats(
    _context: Context,
    host: list[str],
    group: list[str],
    project: str | None = None,
    html: str = "stats.html",
    limit: str | None = None,
    inventory: str | None = None,
    json: bool = False,
) -> None:
    """Count images, annotations and masks of a project: a table, and a page with pictures to look at."""
    from pathlib import Path

    from dataset.stats.command import stats as count

    page = None if html == "-" else Path(html).expanduser().absolute()
    work: Work = lambda session: count(session, project, page)  # noqa: E731
    do("stats", work, choose(host, group, limit, inventory), json=json, one_host=True)


@task(
    iterable=["host", "group"],
    help={
        **{name: text for name, text in HELP.items() if name != "project"},
        "project": PROJECT,
        "folder": "instead: every image of a connected folder, by its name below /label-studio/files",
        "stop": "end the jobs that run; what was encoded stays",
    },
)
@expected_errors_in_words
def embed(
    _context: Context,
    host: list[str],
    group: list[str],
    project: str | None = None,
    folder: str | None = None,
    stop: bool = False,
    limit: str | None = None,
    inventory: str | None = None,
    json: bool = False,
) -> None:
    """Encode a project's images ahead of the clicks; run it again to go on, annotators go first."""
    from dataset.embed.command import EmbedOptions, run_embed

    options = EmbedOptions(project, folder, stop)
    work: Work = lambda session: run_embed(session, options)  # noqa: E731
    do("embed", work, choose(host, group, limit, inventory), json=json)


def do(
    name: str,
    work: Work,
    choice: Choice,
    *,
    json: bool,
    changes: bool = False,
    lock_wait: str | None = None,
    one_host: bool = False,
) -> None:
    """Do the work on the hosts that were named, else on this machine, and print the results."""
    from infra.fleet.on_hosts import only_one, run_work

    options = run_options(name, lock_wait=lock_wait)
    finish(run_work(only_one(choice) if one_host else choice, options, work, changes=changes), json=json)
