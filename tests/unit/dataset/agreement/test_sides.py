"""What is compared: Label Studio's JSON, COCO, class maps; whose annotation counts, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import SettingsError
from core.report import Report
from dataset.agreement.choice import chosen, opened_side
from dataset.agreement.side import Side
from tests.unit.dataset.agreement.drawn import HEIGHT, WIDTH, annotation, box, class_maps, coco_file, task, tasks_file

Open = Callable[[str | Path], Side]
CAR, ROAD = box(2, 2, 20, 12), box(0, 20, 60, 40)


def no_server(called: str) -> Any:
    raise SettingsError(f"no project {called}")


@pytest.fixture
def side() -> Iterator[Open]:
    """Opens sides, and closes them."""
    with ExitStack() as open_sides:

        def open_one(text: str | Path) -> Side:
            return open_sides.enter_context(closing(opened_side(chosen(str(text)), None, Report(), no_server)))

        yield open_one


def drawn_on(one: Side, image: str) -> dict[str, int]:
    return {drawn.label: int(drawn.mask.sum()) for drawn in one.read(image).drawn}


def test_tasks_of_label_studio(side: Open, tmp_path: Path) -> None:
    """As people leave them: spaces around a label, an image without annotation, one with an empty one."""
    path = tasks_file(
        tmp_path / "a.json",
        task("set/one.png", annotation(("car ", CAR), (" road", ROAD))),
        task("set/two.png"),
        task("set/three.png", annotation()),
    )
    one = side(path)
    assert one.images == ["set/one.png", "set/three.png"]
    assert drawn_on(one, "set/one.png") == {"car": 180, "road": 1200}
    assert one.read("set/one.png").size_wh == (WIDTH, HEIGHT)
    assert one.read("set/three.png").size_wh is None


def test_the_newest_annotation_counts_and_ground_truth_first(side: Open, tmp_path: Path) -> None:
    old, new = annotation(("old", CAR)), annotation(("new", CAR), at="2026-03-02T10:00:00Z")
    skipped = annotation(("skipped", CAR), at="2026-03-03T10:00:00Z", was_cancelled=True)
    path = tasks_file(
        tmp_path / "a.json",
        task("one.png", new, old, skipped),
        task("two.png", new, {**old, "ground_truth": True}),
    )
    one = side(path)
    assert list(drawn_on(one, "one.png")) == ["new"]
    assert list(drawn_on(one, "two.png")) == ["old"]


@pytest.mark.parametrize(("who", "label"), [("7", "hers"), ("luis@lab.example", "his"), ("LUIS@lab.example", "his")])
def test_one_persons_annotations(side: Open, tmp_path: Path, who: str, label: str) -> None:
    hers = annotation(("hers", CAR), by=7, at="2026-03-09T10:00:00Z")
    his = annotation(("his", CAR), by={"id": 8, "email": "luis@lab.example"})
    one = side(f"{tasks_file(tmp_path / 'a.json', task('one.png', hers, his))}:{who}")
    assert list(drawn_on(one, "one.png")) == [label]


def test_a_person_without_annotations_is_said(side: Open, tmp_path: Path) -> None:
    path = tasks_file(tmp_path / "a.json", task("one.png", annotation(("car", CAR), by=7)))
    with pytest.raises(SettingsError, match=r"has no annotation of eva@lab\.example; there are annotations of user 7"):
        side(f"{path}:eva@lab.example")


def test_coco_with_run_lengths_polygons_and_boxes(side: Open, tmp_path: Path) -> None:
    corners = [2, 2, 20, 2, 20, 12, 2, 12]
    runs = {"size": [HEIGHT, WIDTH], "counts": [0, 3, WIDTH * HEIGHT - 3]}
    path = coco_file(
        tmp_path / "c.json",
        ["one.png", "empty.png"],
        {"image_id": 0, "label": "car", "segmentation": [corners], "bbox": [2, 2, 18, 10]},
        {"image_id": 0, "label": "dot", "segmentation": runs},
        {"image_id": 0, "label": "box", "bbox": [0, 0, 5, 5]},
    )
    one = side(path)
    assert one.images == ["one.png", "empty.png"]
    assert drawn_on(one, "one.png") == {"car": 180, "dot": 3}
    assert one.read("empty.png").size_wh == (WIDTH, HEIGHT)


def test_class_maps_and_their_names(side: Open, tmp_path: Path) -> None:
    pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
    pixels[CAR], pixels[ROAD] = 1, 3
    named = side(class_maps(tmp_path / "named", {"set/one.png": pixels}, {"1": "car", "3": "road "}))
    assert (named.images, named.has_objects) == (["set/one.png"], False)
    assert drawn_on(named, "set/one.png") == {"car": 180, "road": 1200}
    numbers = side(class_maps(tmp_path / "numbers", {"one.png": pixels}))
    assert list(drawn_on(numbers, "one.png")) == ["1", "3"]
    assert "--classes FILE names them" in numbers.notes.lines[0]


def test_a_map_of_one_bit_has_the_class_one(side: Open, tmp_path: Path) -> None:
    plain = side(class_maps(tmp_path / "bits", {"one.png": CAR}))
    assert drawn_on(plain, "one.png") == {"1": 180}
    named = side(class_maps(tmp_path / "named", {"one.png": CAR}, {"1": "car"}))
    assert drawn_on(named, "one.png") == {"car": 180}


def test_an_export_of_class_maps_says_whose_they_are(side: Open, tmp_path: Path) -> None:
    """Names of classes as `classes.lock` has them, names of images as `images.jsonl` has them."""
    pixels = np.full((HEIGHT, WIDTH), 2, np.uint8)
    class_maps(tmp_path / "export" / "masks", {"a.png.png": pixels})
    (tmp_path / "export" / "images.jsonl").write_text('{"image": "a.png", "mask": "masks/a.png.png"}\n')
    known = {"format": 1, "classes": [{"id": 1, "name": "car"}, {"id": 2, "name": "road"}]}
    (tmp_path / "export" / "classes.json").write_text(json.dumps(known))
    assert drawn_on(side(tmp_path / "export"), "a.png") == {"road": WIDTH * HEIGHT}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ('{"a": 1}', "is neither Label Studio's JSON"),
        ("[1]", "entry 1 is 1, where an object is expected"),
        ('[{"annotations": []}]', "is not a task of Label Studio"),
        ('[{"data": {"image": "a.png"}, "annotations": [{"result": 3}]}]', "has no list of results"),
        ('[{"data": {"image": "a.png"}}]', "has no annotation that was submitted"),
    ],
)
def test_a_file_that_is_none_of_these(side: Open, tmp_path: Path, content: str, text: str) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(SettingsError, match=text):
        side(tmp_path / "x.json")


def test_a_colour_picture_tells_no_classes(side: Open, tmp_path: Path) -> None:
    folder = class_maps(tmp_path / "maps", {"a.png": np.zeros((4, 4, 3), np.uint8)})
    with pytest.raises(SettingsError, match=r"a\.png: is a picture of mode RGB, where class numbers"):
        side(folder).read("a.png")


def test_a_folder_without_class_maps(side: Open, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="has no class maps"):
        side(tmp_path)


def test_what_looks_like_a_path_is_no_project() -> None:
    with pytest.raises(SettingsError, match=r"exports/march: there is no such file or folder"):
        chosen("exports/march")
    assert (chosen("RGBT: night").path, chosen("RGBT: night").project) == (None, "RGBT: night")


def test_two_images_in_a_task_that_cannot_be_told_apart(side: Open, tmp_path: Path) -> None:
    other = annotation(("car", CAR))
    other["result"][0]["to_name"] = "elsewhere"
    broken = {"data": {"rgb": "a.png", "thermal": "b.png"}, "annotations": [other]}
    path = tasks_file(tmp_path / "a.json", broken, task("c.png", annotation(("car", CAR))))
    one = side(path)
    assert one.images == ["c.png"]
    assert "shows 2 images and has regions on 'elsewhere': which of them is which is unknown" in one.notes.lines[0]
