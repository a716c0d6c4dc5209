"""Every way in which an image tag names its URL: what a click works with is exported, imported and counted too."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.dataset.export.scenes import CAR
from tests.unit.dataset.export_bench import ExportBench
from tests.unit.labelstudio.annotated import FUSED, brush, url

VALUES: dict[str, tuple[str, Any]] = {
    "key": ("$image", {"image": url("set/a.png")}),
    "list entry": ("$images[0]", {"images": [url("set/a.png"), url("set/z.png")]}),
    "entry of an object": ("$pages[0].url", {"pages": [{"url": url("set/a.png")}]}),
    "text": ("/data/local-files/?d=set/$file", {"file": "a.png"}),
    "text of two": ("/data/local-files/?d=$folder/$file", {"folder": "set", "file": "a.png"}),
}


@pytest.mark.parametrize("case", VALUES)
def test_export_and_import(exports: ExportBench, case: str) -> None:
    """The image is named, its mask is exported, and an import finds the task of another project again."""
    value, data = VALUES[case]
    config = FUSED.replace('value="$image"', f'value="{value}"')
    one, other = exports.server.project(config), exports.server.project(config, "Others")
    exports.server.annotate(exports.server.task(one, **data), brush(CAR, "Car"))
    target = exports.server.task(other, **data)
    summary = exports.export(one, "coco")
    assert (summary.images, summary.regions, summary.problems) == (1, 1, ())
    assert [image["file_name"] for image in exports.json("out/annotations.json")["images"]] == ["set/a.png"]
    imported = exports.import_(other)
    assert (imported.added, imported.missing) == (1, [])
    assert len(exports.server.annotations[target]) == 1


@pytest.mark.parametrize("case", VALUES)
def test_label_studio_format(exports: ExportBench, case: str) -> None:
    """A file of Label Studio's own tasks is read by the same rules."""
    value, data = VALUES[case]
    project = exports.server.project(FUSED.replace('value="$image"', f'value="{value}"'))
    exports.server.annotate(exports.server.task(project, **data), brush(CAR, "Car"))
    exports.export(project, "label-studio")
    assert exports.import_(project).present == 1
