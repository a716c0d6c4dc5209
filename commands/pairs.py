"""Tasks on pairs of RGB and thermal pictures: pairs.demo, pairs.register, pairs.transfer, pairs.apply."""

from __future__ import annotations

from pathlib import Path

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from commands.base import ONE_HOST, RESULT_HELP, choose, expected_errors_in_words, run_options
from commands.base import out as show
from core.errors import SettingsError
from dataset.registration.command import HELP as REGISTER_HELP
from dataset.transfer.command import APPLY_HELP
from dataset.transfer.command import HELP as TRANSFER_HELP


@task(help={"out": "the folder to make (default: pairs)", "json": RESULT_HELP["json"]})
@expected_errors_in_words
def demo(_context: Context, out: str = "pairs", json: bool = False) -> None:
    """Draw twelve pairs of RGB and thermal pictures with a known transform, and their masks, to try pairs on."""
    from core.errors import FileAccessError
    from core.report import Report
    from demo.pairs import write_pairs

    report, folder = Report(), Path(out).expanduser()
    try:
        with report.stage("drawing pairs"):
            report.facts["pictures"] = [str(path) for path in write_pairs(folder)]
    except FileExistsError:
        raise SettingsError(f"--out {folder}: holds something already; give another folder") from None
    except OSError as error:
        raise FileAccessError(f"--out {folder}: cannot be written: {error.strerror}") from None
    show(report.as_json() if json else f"{folder}: 12 pairs in rgb and thermal, their masks in truth/masks.jsonl")


@task(
    iterable=["host"],
    help={**ONE_HOST, **{name.replace("-", "_"): text for name, text in REGISTER_HELP.items()}}
    | {"json": RESULT_HELP["json"]},
)
@expected_errors_in_words
def register(
    _context: Context,
    host: list[str],
    rgb: str | None = None,
    thermal: str | None = None,
    out: str = "alignment.yaml",
    model: str | None = None,
    points: str | None = None,
    rgb_camera: str | None = None,
    thermal_camera: str | None = None,
    html: str | None = None,
    project: str | None = None,
    to: str | None = None,
    image: str | None = None,
    to_image: str | None = None,
    inventory: str | None = None,
    force: bool = False,
    json: bool = False,
) -> None:
    """Register RGB pictures to their thermal twins: the transform of the rig, how good it is, which pairs fail."""
    from core.report import Report
    from dataset.registration.command import ProjectPairs, RegisterRequest, check_request, run_register, sentences
    from infra.fleet.on_hosts import one_session

    paths = [None if path in (None, "-") else Path(str(path)).expanduser() for path in (rgb, thermal, out, html)]
    begin, first, second = (
        None if path is None else Path(path).expanduser() for path in (points, rgb_camera, thermal_camera)
    )
    request = RegisterRequest(paths[0], paths[1], paths[2], model, begin, paths[3], force, (first, second))
    report = Report()
    if project is None:
        if to is not None:
            raise SettingsError("--to is the project of the thermal pictures: --project names that of the RGB ones")
        found = run_register(request, report)
    else:
        check_request(request, in_label_studio=True)
        with one_session(choose(host, [], None, inventory), run_options("pairs.register"), report) as one:
            target = None if to is None else one.project(to)
            pairs = ProjectPairs(one.access.client(), one.project(project), target, image, to_image)
            found = run_register(request, report, project=pairs)
    show(report.as_json() if json else sentences(found, request))
    if found.matrix is None:
        raise Exit("", code=1)


@task(
    iterable=["host", "label"],
    help={**ONE_HOST, **{name.replace("-", "_"): text for name, text in TRANSFER_HELP.items()}}
    | {"json": RESULT_HELP["json"]},
)
@expected_errors_in_words
def transfer(
    _context: Context,
    host: list[str],
    label: list[str],
    masks: str | None = None,
    alignment: str = "alignment.yaml",
    twins: str | None = None,
    out: str = "transferred",
    format: str = "coco",
    classes: str | None = None,
    project: str | None = None,
    to: str | None = None,
    image: str | None = None,
    to_image: str | None = None,
    annotators: str | None = None,
    kind: str = "prediction",
    refine: str | None = None,
    aligned: bool = False,
    back: bool = False,
    force: bool = False,
    inventory: str | None = None,
    json: bool = False,
) -> None:
    """Carry masks over to the twins of their pictures, by the transform of `pairs.register`; and how well they fit."""
    from core.report import Report
    from dataset.transfer.command import ProjectRequest, TransferRequest, run_in_label_studio, run_transfer
    from dataset.transfer.plan import given_labels
    from infra.fleet.on_hosts import one_session

    report, file = Report(), Path(alignment).expanduser()
    if masks is not None:
        if refine not in (None, "none"):
            raise SettingsError(
                f"--refine {refine}: SAM2 looks at pictures that Label Studio serves: give --project instead of --masks"
            )
        if project is not None or to is not None:
            raise SettingsError("--masks are files, and --project and --to are of Label Studio: give one of them")
        twin_folder, names = (None if path is None else Path(path).expanduser() for path in (twins, classes))
        folder = Path(out).expanduser()
        files = TransferRequest(masks, file, twin_folder, folder, format, names, back, force, aligned)
        found = run_transfer(files, report)
        lines = [*found.lines(), f"{folder} was written"]
    else:
        labels = given_labels(label)
        request = ProjectRequest(file, image, to_image, annotators, kind, labels, back, refine or "sam2", aligned)
        request.check(to)
        with one_session(choose(host, [], None, inventory), run_options("pairs.transfer"), report) as one:
            target = None if to is None else one.project(to)
            client, execs = one.access.client(), (one.site.exec_in("label-studio"), one.site.exec_in_backend)
            found = run_in_label_studio(client, *execs, one.project(project), target, request, report)
        lines = found.lines()
    show(report.as_json() if json else "\n".join(lines))
    if found.problems or found.is_nothing:
        raise Exit("", code=1)


@task(
    iterable=["host"],
    help={**ONE_HOST, **{name.replace("-", "_"): text for name, text in APPLY_HELP.items()}}
    | {"json": RESULT_HELP["json"]},
)
@expected_errors_in_words
def apply(
    _context: Context,
    host: list[str],
    project: str | None = None,
    alignment: str = "alignment.yaml",
    image: str | None = None,
    to_image: str | None = None,
    inventory: str | None = None,
    json: bool = False,
) -> None:
    """Give the page of a project of pairs the transform of `pairs.register`: its key T then takes masks over."""
    from core.report import Report
    from dataset.registration.alignment import read_alignment
    from dataset.transfer.applying import apply_alignment
    from infra.fleet.on_hosts import one_session

    report, file = Report(), Path(alignment).expanduser()
    read_alignment(file)  # before anything is connected
    with one_session(choose(host, [], None, inventory), run_options("pairs.apply"), report) as one:
        found = apply_alignment(
            one.access.client(), one.site.exec_in_backend, one.project(project), file, (image, to_image), report
        )
    show(report.as_json() if json else found.text())
