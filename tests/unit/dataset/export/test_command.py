"""The words of the command line."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.errors import SettingsError
from core.repository import REPOSITORY
from dataset.export import command
from dataset.export.command import export_project, find_project
from dataset.importing import command as import_command
from dataset.importing.command import import_into_project
from tests.unit.dataset.export_bench import ExportBench
from tests.unit.labelstudio.annotated import FUSED, brush, rectangle_mask, url

MASK = rectangle_mask((20, 10), 2, 3, 9, 8)


def run(exports: ExportBench, **words: Any) -> Any:
    classes = exports.folder / "classes.lock"
    given = {"format_name": "coco", "out": exports.folder / "out", "classes": classes} | words
    return export_project(exports.client, "Scenes", exports.folder, exports.report, **given)


def test_a_project_is_exported_and_imported_by_its_title(exports: ExportBench) -> None:
    project = exports.server.project(FUSED)
    exports.server.annotate(exports.server.task(project, image=url("a.png")), brush(MASK, "Car"))
    assert run(exports).regions == 1
    path = exports.folder / "out"
    summary = import_into_project(exports.client, "Scenes", exports.report, path=path)
    assert (summary.added, summary.present) == (0, 1)
    with pytest.raises(SettingsError, match="--as is annotation or prediction, not 'draft'"):
        import_into_project(exports.client, "Scenes", exports.report, path=path, as_kind="draft")


def test_a_project_is_found_by_its_name_in_the_clone_too(exports: ExportBench) -> None:
    demo = exports.server.project(FUSED, "RGBT-SAR demo")
    assert find_project(exports.client, "rgbt-sar", REPOSITORY).id == demo.id
    lab = exports.server.project(FUSED, "RGBT-SAR")
    assert find_project(exports.client, "rgbt-sar", REPOSITORY).id == lab.id
    own = exports.server.project(FUSED, "rgbt-sar")
    assert find_project(exports.client, "rgbt-sar", REPOSITORY).id == own.id


def test_label_studios_json_is_everybodys_work(exports: ExportBench) -> None:
    project = exports.server.project(FUSED)
    task = exports.server.task(project, image=url("a.png"))
    exports.server.annotate(task, brush(MASK, "Car"))
    exports.server.annotate(task, [], was_cancelled=True)
    run(exports, format_name="label-studio")
    assert len(exports.json("out/tasks.json")[0]["annotations"]) == 2
    run(exports, format_name="label-studio", annotations="newest", force=True)
    assert len(exports.json("out/tasks.json")[0]["annotations"]) == 1


def test_the_folder_is_called_after_the_project(exports: ExportBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(exports.folder)
    project = exports.server.project(FUSED, "Scenes")
    exports.server.annotate(exports.server.task(project, image=url("a.png")), brush(MASK, "Car"))
    assert run(exports, out=None).folder == Path("exports/Scenes-coco")
    assert command._as_name("../Año 1: RGB/T") == "Año-1--RGB-T"


def test_wrong_words_are_all_told(exports: ExportBench) -> None:
    with pytest.raises(SettingsError) as caught:
        run(exports, format_name="yolo", coco="zip", tolerance=-1.0)
    assert str(caught.value) == (
        "--format is one of coco, yolo-seg, png, rle-json, csv, label-studio, not 'yolo'; --coco is one of compressed, "
        "uncompressed, polygons, not 'zip'; --tolerance is a number of pixels from 0 to 100, not -1.0"
    )
    exports.server.project(FUSED, "Other")
    with pytest.raises(SettingsError, match=r"Label Studio has no project called 'Scenes' \(there are: Other\)"):
        run(exports)
    for _ in range(2):
        exports.server.project(FUSED)
    with pytest.raises(SettingsError, match=r"has 2 projects called 'Scenes' \(ids \d+, \d+\); rename all but one"):
        run(exports)


def test_every_word_has_its_help() -> None:
    for function, words, others in (
        (export_project, command.HELP, {"project", "json"}),
        (import_into_project, import_command.HELP, {"project", "json"}),
    ):
        names = {
            name.removesuffix("_name").removesuffix("_kind").replace("_", "-")
            for name, one in inspect.signature(function).parameters.items()
            if one.kind is inspect.Parameter.KEYWORD_ONLY
        }
        assert names | others == set(words)


def test_reading_the_help_imports_nothing_heavy() -> None:
    """`./inv --list` reads tasks.py and with it these modules."""
    code = (
        "import sys; import dataset.export.command, dataset.importing.command; "
        "sys.exit(any(one in sys.modules for one in ('numpy', 'cv2', 'pycocotools', 'label_studio_sdk', 'ijson')))"
    )
    assert subprocess.run((sys.executable, "-c", code), cwd=REPOSITORY, check=False).returncode == 0
