"""Class numbers that stay, and results that are read by a version of the configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import SettingsError
from dataset.export.labeling import used_config
from dataset.export.selection import Selection
from labelstudio.models import Project
from labelstudio.versions import sha256_of
from tests.unit.dataset.export.scenes import CAR, ROAD
from tests.unit.dataset.export_bench import ExportBench
from tests.unit.labelstudio.annotated import (
    FUSED,
    brush,
    url,
)


def write_config(exports: ExportBench, name: str, version: int, text: str) -> Path:
    path = exports.folder / "repository" / "labeling_configs" / name / f"v{version}.xml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path.parent / "classes.lock"


def test_numbers_are_kept_beside_the_configuration(exports: ExportBench, project: Project) -> None:
    lock = write_config(exports, "cars", 1, FUSED)
    (lock.parent / "v1.xml").write_text(FUSED + "\n")  # Label Studio takes the last line break away
    used = used_config(exports.folder / "repository", FUSED, "Scenes", None, None)
    assert (used.name, used.version, used.strict) == ("cars", 1, False)
    assert used.sha256 == sha256_of(lock.parent / "v1.xml")
    exports.export(project, "coco", config=("cars", 1))
    assert lock.read_text() == (
        '{\n  "format": 1,\n  "classes": [\n    {"id": 1, "name": "Car"},\n    {"id": 2, "name": "Road"}\n  ]\n}\n'
    )
    assert (exports.folder / "out" / "classes.json").read_text() == lock.read_text()


def test_numbers_stay_when_labels_come_and_go(exports: ExportBench, project: Project) -> None:
    exports.export(project, "coco", "first")
    newer = FUSED.replace('<Label value="Car" background="#E53935"/>', '<Label value="Bus"/>').replace(
        '<Label value="Car"/>', '<Label value="Bus"/>'
    )
    task = exports.server.task(project, image=url("z.png"))
    exports.server.annotate(task, [*brush(CAR, "Bus"), *brush(ROAD, "Lorry", "b")])
    changed = Project(project.id, project.title, "", newer, True, 0)
    exports.export(changed, "coco", "second")
    rows = exports.json("second/classes.json")["classes"]
    assert rows == [
        {"id": 1, "name": "Car", "retired": True},
        {"id": 2, "name": "Road"},
        {"id": 3, "name": "Bus"},
        {"id": 4, "name": "Lorry", "retired": True},
    ]
    assert exports.json("second/annotations.json")["categories"][0]["name"] == "Car"
    exports.export(project, "coco", "third")
    assert [one["id"] for one in exports.json("third/classes.json")["classes"] if not one.get("retired")] == [1, 2]


def test_a_given_version_leaves_out_what_it_lacks(exports: ExportBench, project: Project) -> None:
    write_config(exports, "cars", 1, FUSED.replace('<Label value="Road" background="#1E88E5"/>', ""))
    summary = exports.export(project, "coco", config=("cars", 1))
    assert summary.per_class == {"Car": 1}
    manifest = exports.json("out/manifest.json")
    assert manifest["counts"]["left_out"]["not in this configuration"] == 2
    assert (manifest["config"]["name"], manifest["config"]["version"]) == ("cars", 1)


def test_a_configuration_of_nobody_needs_a_place_for_its_numbers(exports: ExportBench, project: Project) -> None:
    with pytest.raises(SettingsError, match="is none of labeling_configs, so its class numbers have no place there"):
        export_without_lock(exports, project)
    with pytest.raises(SettingsError, match=r"labeling_configs/cars/v7.xml: cannot be read \(there are: none\)"):
        exports.export(project, "coco", config=("cars", 7))
    with pytest.raises(SettingsError, match="say which one --config-version counts"):
        used_config(exports.folder, FUSED, "Scenes", None, 1)


def export_without_lock(exports: ExportBench, project: Project) -> None:
    from dataset.export.formats import ExportOptions
    from dataset.export.run import Export

    config = used_config(exports.folder, project.label_config, project.title, None, None)
    Export(exports.client, project, config, Selection(), ExportOptions("coco"), exports.folder, exports.report).run(
        exports.folder / "out"
    )
