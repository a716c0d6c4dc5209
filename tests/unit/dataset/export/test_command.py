"""The words of the command line."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.errors import SettingsError
from core.repository import REPOSITORY
from dataset.export import command
from dataset.export.command import ExportRequest, export_project
from dataset.importing import command as import_command
from dataset.importing.command import ImportRequest, import_into_project
from labelstudio.named_project import named_project
from tests.unit.dataset.export_bench import ExportBench
from tests.unit.labelstudio.annotated import FUSED, brush, rectangle_mask, url

MASK = rectangle_mask((20, 10), 2, 3, 9, 8)


def run(exports: ExportBench, **words: Any) -> Any:
    classes = exports.folder / "classes.lock"
    given: dict[str, Any] = {"format": "coco", "out": exports.folder / "out", "classes": classes} | words
    project = named_project(exports.client, exports.folder, "Scenes")
    return export_project(exports.client, project, exports.folder, exports.report, ExportRequest(**given))


def test_a_project_is_exported_and_imported_by_its_title(exports: ExportBench) -> None:
    project = exports.server.project(FUSED)
    exports.server.annotate(exports.server.task(project, image=url("a.png")), brush(MASK, "Car"))
    assert run(exports).regions == 1
    path = exports.folder / "out"
    client = exports.client
    project = named_project(client, exports.folder, "Scenes")
    summary = import_into_project(client, project, exports.report, ImportRequest(path))
    assert (summary.added, summary.present) == (0, 1)
    with pytest.raises(SettingsError, match="--as is annotation or prediction, not 'draft'"):
        ImportRequest(path, kind="draft")
    with pytest.raises(SettingsError, match=r"nowhere: there is no such file"):
        ImportRequest(Path("nowhere"))


def test_label_studios_json_is_everybodys_work(exports: ExportBench) -> None:
    project = exports.server.project(FUSED)
    task = exports.server.task(project, image=url("a.png"))
    exports.server.annotate(task, brush(MASK, "Car"))
    exports.server.annotate(task, [], was_cancelled=True)
    run(exports, format="label-studio")
    assert len(exports.json("out/tasks.json")[0]["annotations"]) == 2
    run(exports, format="label-studio", annotations="newest", force=True)
    assert len(exports.json("out/tasks.json")[0]["annotations"]) == 1


def test_the_folder_is_called_after_the_project(exports: ExportBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(exports.folder)
    project = exports.server.project(FUSED, "Scenes")
    exports.server.annotate(exports.server.task(project, image=url("a.png")), brush(MASK, "Car"))
    assert run(exports, out=None).folder == Path("exports/Scenes-coco")
    assert command._as_name("../Año 1: RGB/T") == "Año-1--RGB-T"


def test_wrong_options_are_all_reported() -> None:
    with pytest.raises(SettingsError) as caught:
        ExportRequest(format="yolo", coco="zip", tolerance=-1.0, annotations="some")  # type: ignore[arg-type]
    assert str(caught.value) == (
        "--format is one of coco, yolo-seg, png, rle-json, csv, label-studio, dataset, not 'yolo'; --coco is one of "
        "compressed, uncompressed, polygons, not 'zip'; --tolerance is a number of pixels from 0 to 100, not -1.0; "
        "--annotations is newest or all, not 'some'"
    )


def test_every_option_has_its_help() -> None:
    for request, words, others in (
        (ExportRequest, command.HELP, {"project", "json"}),
        (ImportRequest, import_command.HELP, {"project", "json"}),
    ):
        names = {
            field.name.replace("kind", "as").replace("instances", "instance").replace("_", "-")
            for field in dataclasses.fields(request)
        }
        assert names | others == set(words)


def test_reading_the_help_imports_nothing_heavy() -> None:
    """`./inv --list` reads tasks.py and with it these modules."""
    code = (
        "import sys; import dataset.export.command, dataset.importing.command; "
        "sys.exit(any(one in sys.modules for one in ('numpy', 'cv2', 'pycocotools', 'label_studio_sdk', 'ijson')))"
    )
    assert subprocess.run((sys.executable, "-c", code), cwd=REPOSITORY, check=False).returncode == 0
