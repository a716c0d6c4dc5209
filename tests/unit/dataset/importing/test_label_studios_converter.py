"""What Label Studio's own converter writes (it is what *Export* runs on the server) is found again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dataset.image_lookup import ImageLookup, Place
from dataset.preannotate.boxes import matched
from dataset.preannotate.command import PreannotateOptions, read_boxes
from tests.unit.dataset.export_bench import ExportBench
from tests.unit.labelstudio.annotated import result, url

SIZE = (20, 10)
NAMES = ("data/vuelo 1/señal.png", "data/vuelo 2/señal.png", "data/otro.png")
ADDRESSES = [url(name.replace(" ", "%20").replace("ñ", "%C3%B1")) for name in NAMES]
TAGS = """<View><Image name="image" value="$image"/>
<PolygonLabels name="poly" toName="image"><Label value="Car"/></PolygonLabels>
<RectangleLabels name="box" toName="image"><Label value="Car"/></RectangleLabels></View>"""


def task(number: int, kind: str) -> dict[str, Any]:
    """A shape whose width tells its image."""
    polygon = {"points": [[10, 10], [20 * number, 10], [20, 50]], "closed": True, "polygonlabels": ["Car"]}
    box = {"x": 10, "y": 10, "width": 20 * number, "height": 50, "rotation": 0, "rectanglelabels": ["Car"]}
    shape = (
        result("polygonlabels", "poly", "p", SIZE, polygon)
        if kind == "coco"
        else result("rectanglelabels", "box", "r", SIZE, box)
    )
    annotation = {"id": number, "result": [shape], "completed_by": 1, "created_at": "2026-03-01T10:00:00Z"}
    return {"id": number, "data": {"image": ADDRESSES[number - 1]}, "annotations": [annotation]}


@pytest.fixture
def converted(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The unpacked export of three tasks, as (format, whether the images are in it, whether the server has them)."""
    from label_studio_sdk._extensions.label_studio_tools.core.utils.io import local_files_resolver
    from label_studio_sdk.converter.converter import Converter

    kind, with_images, is_served = request.param
    for name in NAMES:
        (tmp_path / "files" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", SIZE).save(tmp_path / "files" / name)
    (tmp_path / "tasks.json").write_text(json.dumps([task(number, kind) for number in (1, 2, 3)]))
    out = tmp_path / "unpacked"
    with local_files_resolver(lambda path: str(tmp_path / "files" / path) if is_served else None):
        one = Converter(TAGS, str(tmp_path), download_resources=with_images)
        convert = one.convert_to_coco if kind == "coco" else one.convert_to_yolo
        convert(str(tmp_path / "tasks.json"), str(out), output_image_dir=str(out / "images"), is_dir=False)
    return out


@pytest.mark.parametrize(
    "converted", [("coco", True, True), ("coco", False, True), ("coco", False, False)], indirect=True, ids=str
)
def test_coco_goes_in_as_its_folder(exports: ExportBench, converted: Path) -> None:
    project = exports.server.project(TAGS)
    tasks = [exports.server.task(project, image=address) for address in reversed(ADDRESSES)]
    summary = exports.import_(project, str(converted))
    assert (summary.added, summary.missing) == (3, [])
    found = [exports.server.annotations[one][0]["result"][0]["value"]["points"][1][0] for one in tasks]
    assert found == pytest.approx([60, 40, 20])


@pytest.mark.parametrize("converted", [("yolo", True, True)], indirect=True, ids=str)
def test_yolo_with_images_tells_them_apart(converted: Path) -> None:
    file = read_boxes(PreannotateOptions(None, str(converted)))
    assert file is not None
    lookup = ImageLookup()
    for number, address in enumerate(ADDRESSES, 1):
        lookup.add(address, Place(number, "image"))
    found = matched(file, lookup)
    assert {one: round(boxes[0].width) for one, boxes in found.by_task.items()} == {1: 20, 2: 40, 3: 60}
