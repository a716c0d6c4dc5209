"""Tasks on what people have made: export, import, agreement, config.check, database.move."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from commands.base import (
    HOST_HELP,
    LOCK_WAIT_HELP,
    ONE_HOST,
    RESULT_HELP,
    choose,
    confirm,
    decimal,
    expected_errors_in_words,
    host_task,
    local_settings,
    number,
    result_file,
    run_options,
)
from commands.base import out as show
from dataset.agreement.command import HELP as AGREEMENT_HELP
from dataset.export.command import HELP as EXPORT_HELP
from dataset.export.formats import IGNORE
from dataset.importing.command import HELP as IMPORT_HELP

if TYPE_CHECKING:
    from infra.config.stack_settings import Database
    from infra.fleet.choice import Choice, Outcome


@host_task(
    {
        "to": "postgres or sqlite",
        "replace": "put work aside that the target holds already",
        "yes": "do not ask; Label Studio is stopped while the work is copied",
        "lock_wait": LOCK_WAIT_HELP,
    },
    here=True,
)
def move(
    choice: Choice,
    to: Database,
    *,
    replace: bool = False,
    yes: bool = False,
    lock_wait: str | None = None,
) -> Outcome:
    """Move projects, annotations and users from SQLite to PostgreSQL or back; nothing is deleted."""
    from infra.config.stack_settings import Database
    from infra.deploy.move_command import move_on_this_machine, run_move

    if to not in get_args(Database):
        raise Exit(f"error: --to {to}: must be {' or '.join(get_args(Database))}", code=2)
    if not yes:
        confirm("Label Studio stops while the work is copied; some 10 000 tasks take one to two minutes.")
    if choice.names_hosts:
        return run_move(choice, run_options("database.move", lock_wait=lock_wait), to, replace_target=replace)
    return move_on_this_machine(local_settings(), to, replace_target=replace)


@task(
    iterable=["host", "group"],
    help={**ONE_HOST, **{name.replace("-", "_"): text for name, text in EXPORT_HELP.items()}},
)
@expected_errors_in_words
def export(
    _context: Context,
    host: list[str],
    group: list[str],
    format: str,
    inventory: str | None = None,
    out: str | None = None,
    project: str | None = None,
    labels: str | None = None,
    tasks: str | None = None,
    annotators: str | None = None,
    since: str | None = None,
    until: str | None = None,
    annotations: str | None = None,
    all_tasks: bool = False,
    config: str | None = None,
    config_version: str | None = None,
    classes: str | None = None,
    coco: str = "compressed",
    instance: bool = False,
    mots: bool = False,
    split: bool = False,
    tolerance: str | None = None,
    ignore: str | None = None,
    overlap: str = "drawn",
    priority: str | None = None,
    shares: str = "80,10,10",
    seed: str | None = None,
    link: str | None = None,
    pictures: str = "original",
    alignment: str | None = None,
    grid: str = "rgb",
    to: str | None = None,
    image: str | None = None,
    to_image: str | None = None,
    force: bool = False,
    json: bool = False,
) -> None:
    """Write a project's masks as COCO, YOLO-seg, PNG, RLE-JSON, CSV, Label Studio's JSON, or a data set to train on."""
    from core.report import Report
    from core.repository import REPOSITORY
    from dataset.export.command import ExportRequest, export_project
    from infra.fleet.on_hosts import one_session

    request = ExportRequest(
        format=format,  # type: ignore[arg-type]  # checked by the request
        out=None if out is None else Path(out),
        labels=labels,
        tasks=tasks,
        annotators=annotators,
        since=since,
        until=until,
        annotations=annotations,
        all_tasks=all_tasks,
        config=config,
        config_version=number("--config-version", config_version),
        classes=None if classes is None else Path(classes),
        coco=coco,  # type: ignore[arg-type]
        instances=instance,
        mots=mots,
        split=split,
        tolerance=decimal("--tolerance", tolerance, 0.0),
        ignore=IGNORE if ignore is None else number("--ignore", ignore) or 0,
        overlap=overlap,  # type: ignore[arg-type]
        priority=tuple(filter(None, map(str.strip, (priority or "").split(",")))),
        shares=shares,
        seed=number("--seed", seed) or 0,
        group=tuple(group),
        link=None if link is None else Path(link).expanduser(),
        pictures=pictures,  # type: ignore[arg-type]
        alignment=None if alignment is None else Path(alignment).expanduser(),
        grid=grid,  # type: ignore[arg-type]
        to=to,
        image=image,
        to_image=to_image,
        force=force,
    )
    report = Report()
    with one_session(choose(host, [], None, inventory), run_options("export"), report) as one:
        target = None if to is None else one.project(to)
        summary = export_project(one.access.client(), one.project(project), REPOSITORY, report, request, target)
    show(report.as_json() if json else summary.sentence())
    if summary.problems:
        raise Exit("", code=1)


@task(
    name="import",
    positional=["path"],
    iterable=["host", "label"],
    help={**ONE_HOST, **{name.replace("-", "_"): text for name, text in IMPORT_HELP.items() if name != "as"}}
    | {"kind": IMPORT_HELP["as"]},
)
@expected_errors_in_words
def import_(
    _context: Context,
    path: str,
    host: list[str],
    label: list[str],
    inventory: str | None = None,
    project: str | None = None,
    format: str | None = None,
    kind: str = "annotation",
    create_tasks: bool = False,
    skip_broken: bool = False,
    image: str | None = None,
    json: bool = False,
) -> None:
    """Put an export back into a project, once; a person's annotation is never overwritten."""
    from core.report import Report
    from dataset.importing.command import ImportRequest, import_into_project
    from infra.fleet.on_hosts import one_session
    from labelstudio.label_use import Rename

    names = {one.old: one.new for one in (Rename.parse(text, "--label") for text in label)}
    request = ImportRequest(Path(path), format, kind, create_tasks, skip_broken, names, image)
    report = Report()
    with one_session(choose(host, [], None, inventory), run_options("import"), report) as one:
        summary = import_into_project(one.access.client(), one.project(project), report, request)
    show(report.as_json() if json else summary.sentence())


@task(
    positional=["a", "b"],
    iterable=["host"],
    help={**ONE_HOST, **AGREEMENT_HELP, "json": RESULT_HELP["json"]},
)
@expected_errors_in_words
def agreement(
    _context: Context,
    a: str,
    b: str,
    host: list[str],
    classes: str | None = None,
    csv: str | None = None,
    html: str = "agreement.html",
    inventory: str | None = None,
    json: bool = False,
) -> None:
    """Compare two sets of masks: IoU, Dice, kappa by class and image; annotators, projects, files or the model."""
    from core.report import Report
    from dataset.agreement.choice import chosen
    from dataset.agreement.command import AgreementRequest, run_agreement
    from infra.fleet.on_hosts import one_session

    html_page = None if html == "-" else Path(html).expanduser().absolute()
    files = [None if path is None else Path(path).expanduser() for path in (classes, csv)]
    request = AgreementRequest(chosen(a), chosen(b), files[0], html_page, files[1])
    for option, path in (("--html", html_page), ("--csv", files[1])):
        result_file(option, None if path is None else str(path))
    report = Report()
    if request.needs_server:
        with one_session(choose(host, [], None, inventory), run_options("agreement"), report) as one:
            text = run_agreement(request, report, lambda called: (one.access.client(), one.project(called)))
    else:
        text = run_agreement(request, report)
    show(report.as_json() if json else text)


@task(
    iterable=["host"],
    help={
        "path": "a file or folder (default: all of labeling_configs)",
        "data": "comma-separated keys of the tasks' data; image variables must be among them",
        "project": "take those keys from the tasks of this project: its name in projects.yaml, or its title",
        "host": ONE_HOST["host"],
        "inventory": HOST_HELP["inventory"],
        "json": RESULT_HELP["json"],
    },
)
@expected_errors_in_words
def check(
    _context: Context,
    host: list[str],
    path: str = "",
    data: str | None = None,
    project: str | None = None,
    inventory: str | None = None,
    json: bool = False,
) -> None:
    """Check labeling configurations: XML, tags, prompts, outputs, hotkeys, colours; every problem with its line."""
    from core.report import Report
    from core.repository import REPOSITORY
    from labelstudio.config_check import check_configs

    report = Report()
    keys = None if data is None else [key.strip() for key in data.split(",")]
    if project is not None:
        from infra.fleet.on_hosts import one_session

        with one_session(choose(host, [], None, inventory), run_options("config.check"), report) as one:
            keys = [*(keys or ()), *sorted(one.access.client().data_keys(one.project(project).id))]
    checked = check_configs(REPOSITORY, Path(path) if path else None, keys)
    report.facts["files"] = list(checked.files)
    show(report.as_json() if json else checked.sentence())
