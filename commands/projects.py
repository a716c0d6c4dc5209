"""Tasks on projects: project.plan, project.apply, project.pull, project.sync."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke.context import Context
from invoke.tasks import task

from commands.base import HOST_HELP, choose, expected_errors_in_words, finish, local_settings, out, run_options

if TYPE_CHECKING:
    from infra.fleet.on_hosts import Work

MANY = ["host", "group", "project"]
HELP = {
    **HOST_HELP,
    "host": f"{HOST_HELP['host']}; without one, the stack of this machine",
    "project": "a project of labeling_configs/projects.yaml; may be given several times (default: all)",
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
    work: Work = lambda place: plan_projects(place, project, migration)  # noqa: E731
    run_work("project.plan", work, host, group, limit, inventory, json=json, changes=False)


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
    do = plan_projects if dry_run else apply_projects
    work: Work = lambda place: do(place, project, migration)  # noqa: E731
    run_work("project.apply", work, host, group, limit, inventory, json=json, changes=not dry_run, lock_wait=lock_wait)


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
    """Write what somebody changed in the browser into the clone, a changed configuration as its next version."""
    from core.operation import Applier, Previewer
    from core.repository import REPOSITORY
    from infra.fleet.on_hosts import only_one
    from infra.projects.pulling import pull_projects

    if host or group:
        only_one(choose(host, group, limit, inventory))
    runner = Previewer if dry_run else Applier
    work: Work = lambda place: pull_projects(place, project, REPOSITORY, runner(place.report))  # noqa: E731
    run_work("project.pull", work, host, group, limit, inventory, json=json, changes=False)


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
    """Make tasks of new image files, and say which files have vanished."""
    from infra.projects.applying import sync_projects

    work: Work = lambda place: sync_projects(place, project)  # noqa: E731
    run_work("project.sync", work, host, group, limit, inventory, json=json, changes=True, lock_wait=lock_wait)


@task(
    iterable=["host", "group", "label"],
    help={
        **{name: text for name, text in HELP.items() if name != "project"},
        "project": "the project of labeling_configs/projects.yaml (default: the one that `up` makes)",
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
    from infra.roles.project.role import DEFAULT_PROJECT
    from labelstudio.label_use import Rename

    names = [Rename.parse(one, "--label") for one in label]
    labels = {one.old: one.new for one in names}
    options = PreannotateOptions(project or DEFAULT_PROJECT, boxes, labels, image, also_annotated)
    file = read_boxes(options)
    work: Work = lambda place: work_on(place, options, file)  # noqa: E731
    run_work("preannotate", work, host, group, limit, inventory, json=json, changes=False)


@task(
    iterable=["host", "group"],
    help={
        **{name: text for name, text in HELP.items() if name != "project"},
        "project": "the project of labeling_configs/projects.yaml (default: the one that `up` makes)",
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
    from infra.fleet.on_hosts import only_one
    from infra.roles.project.role import DEFAULT_PROJECT

    if host or group:
        only_one(choose(host, group, limit, inventory))
    page = None if html == "-" else Path(html).expanduser().absolute()
    work: Work = lambda place: count(place, project or DEFAULT_PROJECT, page)  # noqa: E731
    run_work("stats", work, host, group, limit, inventory, json=json, changes=False)


def run_work(
    name: str,
    work: Work,
    host: list[str],
    group: list[str],
    limit: str | None,
    inventory: str | None,
    *,
    json: bool,
    changes: bool,
    lock_wait: str | None = None,
) -> None:
    """Do the work where the command line says, and print what came of it."""
    from core.report import Report
    from infra.fleet.on_hosts import on_hosts, on_this_machine

    if host or group:
        asked = run_options(name, lock_wait=lock_wait)
        finish(on_hosts(choose(host, group, limit, inventory), asked, work, changes=changes), json=json)
        return
    report = Report()
    text = on_this_machine(local_settings(), report, work)
    out(report.as_json() if json else text)
