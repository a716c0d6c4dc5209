"""Files as other tools write them: their names of images, their numbers, their labels."""

from __future__ import annotations

import codecs
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from core.errors import SettingsError
from labelstudio.models import Project
from tests.unit.dataset.export_bench import ExportBench
from tests.unit.dataset.importing.scenes import CAR, ROAD, SIZE, fill, task_of
from tests.unit.labelstudio.annotated import FUSED, PAIR, brush, key_point, rectangle, result, url

POLYGONS = FUSED.replace("BrushLabels", "PolygonLabels").replace("brush", "poly")
THERMAL = FUSED.replace("$image", "$thermal")
RING = [2, 3, 9, 3, 9, 8, 2, 8]
Json = dict[str, Any]


def coco(*names: str, size: tuple[float, float] | None = SIZE) -> Json:
    """One polygon of a Car on each image, all different in width."""
    sizes = {} if size is None else {"width": size[0], "height": size[1]}
    return {
        "images": [{"id": number, "file_name": name, **sizes} for number, name in enumerate(names)],
        "categories": [{"id": 0, "name": "Car"}],
        "annotations": [
            {"id": number, "image_id": number, "category_id": 0, "segmentation": [[2, 3, 5 + number, 3, 5, 8]]}
            for number, _ in enumerate(names)
        ],
    }


def write(exports: ExportBench, content: object, name: str = "result.json") -> str:
    path = exports.folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return name


def drawn(exports: ExportBench, project: Project) -> dict[str, float]:
    """By the URL of each annotated task: the x of the polygon's second corner, which tells the image of the file."""
    found = {}
    for key, task in exports.server.tasks.items():
        for one in exports.server.annotations[key]:
            if task["project"] == project.id:
                found[next(iter(task["data"].values()))] = round(
                    one["result"][0]["value"]["points"][1][0] * SIZE[0] / 100
                )
    return found


SPACED, OTHER = url("data/vuelo%201/se%C3%B1al.png"), url("data/vuelo%202/se%C3%B1al.png")


def copied(address: str, name: str) -> str:
    """What Label Studio calls the copy of an image in an export with images."""
    return f"images/{hashlib.md5(address.encode(), usedforsecurity=False).hexdigest()[:8]}__{name}"


NAMES_OF_LABEL_STUDIO = {
    "without images": [f"../../..{SPACED}", f"../../..{OTHER}"],
    "without images, of another server": [f"http://lab:8080{SPACED}", f"http://lab:8080{OTHER}"],
    "with images": [copied(SPACED, "señal.png"), copied(OTHER, "señal.png")],
    "with images, percent-encoded": [copied(SPACED, "se%C3%B1al.png"), copied(OTHER, "se%C3%B1al.png")],
    "of Windows": ["..\\..\\label-studio\\files\\vuelo 1\\señal.png", "..\\..\\vuelo 2\\señal.png"],
    "of macOS": ["vuelo 1/sen\N{COMBINING TILDE}al.png", "vuelo 2/sen\N{COMBINING TILDE}al.png"],
    "relative": ["./vuelo 1/señal.png", "/NAS/data/vuelo 2/señal.png"],
}


@pytest.mark.parametrize("names", NAMES_OF_LABEL_STUDIO.values(), ids=NAMES_OF_LABEL_STUDIO)
def test_names_with_spaces_and_accents_in_two_folders(exports: ExportBench, names: list[str]) -> None:
    """Label Studio's own COCO export, with and without images, is found again; so are paths of other systems."""
    project = exports.server.project(POLYGONS)
    for address in (OTHER, SPACED):
        exports.server.task(project, image=address)
    assert exports.import_(project, write(exports, coco(*names))).missing == []
    assert drawn(exports, project) == {SPACED: 5, OTHER: 6}


def test_coco_of_label_studio_goes_in_as_its_folder(exports: ExportBench) -> None:
    """Unpacked: `result.json`; an image that nobody annotated has no size, an id may be 0 or 7.0, a size 20.0."""
    project = fill(exports, POLYGONS)
    content = coco("images/a.png", size=(20.0, 10.0))
    content["images"][0]["id"] = 0.0
    content["images"].append({"id": 1, "file_name": "images/b.png", "width": None, "height": None})
    write(exports, content, "project-1/result.json")
    (exports.folder / "project-1" / "notes.json").write_text("{}")
    assert exports.import_(project, "project-1").added == 1


def test_path_below_the_image_folder(exports: ExportBench) -> None:
    """`RGB/001.png` is a whole path, though another folder ends like it."""
    project = exports.server.project(POLYGONS)
    for name in ("RGB_T_SAR/RGB/001.png", "RGB_T_SAR/old/RGB/001.png", "RGB_T_SAR/002.png", "RGB_T_SAR/old/002.png"):
        exports.server.task(project, image=url(name))
    exports.import_(project, write(exports, coco("RGB/001.png", "./002.png")))
    assert drawn(exports, project) == {url("RGB_T_SAR/RGB/001.png"): 5, url("RGB_T_SAR/002.png"): 6}


def test_two_names_of_one_image_are_refused(exports: ExportBench) -> None:
    """Both would be `set/a.png`, which is the only image called so: one of them is not."""
    project = fill(exports, POLYGONS)
    with pytest.raises(
        SettingsError, match=r"images train/a.png and test/a.png would both be set/a.png of the project"
    ):
        exports.import_(project, write(exports, coco("train/a.png", "test/a.png")))
    assert drawn(exports, project) == {}


def test_images_found_in_another_folder_are_told(exports: ExportBench) -> None:
    project = fill(exports, POLYGONS)
    exports.import_(project, write(exports, coco("mfnet/rgb_images/a.png", "b.png", "/NAS/set/c.png")))
    (notice,) = [one for one in exports.report.notices if "lie in other folders" in one]
    assert notice.startswith("1 images lie in other folders than the file says")
    assert "mfnet/rgb_images/a.png is set/a.png" in notice


def lab_export(name: str = "mfnet/rgb_images/a.png", label: str = "Car") -> list[Json]:
    """As the lab's own exports: another server's path, brush and polygon, a task that nobody annotated."""
    corners = {"points": [[10, 30], [45, 30], [45, 80]], "closed": True, "polygonlabels": [label]}
    results = [
        *brush(CAR, label, "d688", score=0.78),
        result("polygonlabels", "label", "YYLe_jG18", SIZE, corners),
        key_point("Car"),
    ]
    annotation = {"id": 2463, "completed_by": 1, "result": results, "was_cancelled": False, "lead_time": 12.5}
    return [
        {"id": 1, "annotations": [annotation], "predictions": [], "data": {"image": url(f"proyecto/{name}")}},
        {"id": 2, "annotations": [], "predictions": [], "data": {"image": url("proyecto/mfnet/rgb_images/b.png")}},
    ]


@pytest.mark.parametrize("config", [FUSED, THERMAL, PAIR.replace('"rgb"', '"colour"')], ids=["same", "key", "tags"])
def test_json_of_label_studio_goes_in_as_it_is(exports: ExportBench, config: str) -> None:
    """Without `--format`, from another path, and where the project has another key and another name for its image."""
    project = exports.server.project(config)
    keys = [key for key in ("image", "thermal", "rgb") if f"${key}" in config]
    exports.server.task(
        project, **{key: url(f"set/{'ir' if len(keys) > 1 and key == 'thermal' else ''}a.png") for key in keys[::-1]}
    )
    summary = exports.import_(project, write(exports, lab_export(), "project-3-at-2025-12-12.json"))
    assert (summary.added, summary.missing) == (1, ["proyecto/mfnet/rgb_images/b.png"])
    assert summary.left_out == {"key point": 1}
    assert "left out: 1 x key point" in summary.sentence()
    (stored,) = (one for rows in exports.server.annotations.values() for one in rows)
    tags = {"colour"} if "colour" in config else {"image"}
    assert {one["to_name"] for one in stored["result"]} == tags
    assert exports.import_(project, "project-3-at-2025-12-12.json").added == 0
    exports.export(project, "rle-json")
    areas = [region["area"] for row in exports.lines("out/masks.jsonl") for region in row["regions"]]
    assert areas[0] == CAR.sum()
    assert len(areas) == 2


def test_missing_task_gets_the_key_of_the_project(exports: ExportBench) -> None:
    project = exports.server.project(THERMAL)
    assert exports.import_(project, write(exports, lab_export()), create_tasks=True).new_tasks == 2
    assert exports.import_(project, "result.json", create_tasks=True).present == 1


def test_one_image_tag_takes_all(exports: ExportBench) -> None:
    """The picture of both cameras has one name: the person says which."""
    project = exports.server.project(PAIR)
    exports.server.task(project, rgb=url("RGB/a.png"), thermal=url("T/a.png"))
    name = write(exports, lab_export())
    with pytest.raises(
        SettingsError,
        match=r"may be RGB/a.png, T/a.png: give its path below the image folder, or --image \(rgb, thermal\)",
    ):
        exports.import_(project, name)
    with pytest.raises(SettingsError, match="--image ir: the labeling configuration has no such image"):
        exports.import_(project, name, image="ir")
    assert exports.import_(project, name, image="thermal").added == 1
    (stored,) = (one for rows in exports.server.annotations.values() for one in rows)
    assert {(one["to_name"], one["from_name"]) for one in stored["result"]} == {("thermal", "brush_thermal")}


def test_pairs_go_into_projects_of_one_image_each(exports: ExportBench) -> None:
    """Both images are in one project, each a task of its own: each gets its own regions."""
    pairs, project = exports.server.project(PAIR), fill(exports, FUSED, ("rgb", "thermal"))
    task = exports.server.task(pairs, rgb=url("set/rgb.png"), thermal=url("set/thermal.png"))
    value, other = brush(CAR, "Car")[0]["value"], brush(ROAD, "Road")[0]["value"]
    exports.server.annotate(
        task,
        [
            result("brushlabels", "brush_rgb", "1", SIZE, value, to_name="rgb"),
            result("brushlabels", "brush_thermal", "2", SIZE, other, to_name="thermal"),
        ],
    )
    exports.export(pairs, "label-studio")
    assert exports.import_(project).added == 2
    for name, label in (("rgb", "Car"), ("thermal", "Road")):
        (stored,) = exports.server.annotations[task_of(exports, project, name)]
        assert [one["value"]["brushlabels"] for one in stored["result"]] == [[label]]


def test_label_with_a_space_at_its_end(exports: ExportBench) -> None:
    """It is told in words; where the project has the label without the space, it is taken as that."""
    name = write(exports, lab_export(label="Car "))
    project = fill(exports, FUSED)
    exports.import_(project, name)
    (stored,) = exports.server.annotations[task_of(exports, project, "a")]
    assert {label for one in stored["result"] for label in one["value"][one["type"]]} == {"Car"}
    assert any('"Car " (with white space at its end) as "Car"' in notice for notice in exports.report.notices)
    with pytest.raises(SettingsError) as caught:
        exports.import_(fill(exports, FUSED), write(exports, lab_export(label="Guardrail ")))
    assert 'the label "Guardrail " (with white space at its end)' in str(caught.value)
    assert "--label THEIRS=OURS" in str(caught.value)
    own = fill(exports, FUSED.replace('"Road"', '"Guardrail "'))
    assert exports.import_(own, "result.json").added == 1
    other = fill(exports, FUSED)
    assert exports.import_(other, "result.json", labels={"Guardrail": "Road"}).added == 1


def test_label_of_another_tag_is_not_stored_under_this_one(exports: ExportBench) -> None:
    """The project has a tag of the same name and kind, and the label at another: the editor would drop the label."""
    config = FUSED.replace("<Image", '<BrushLabels name="more" toName="image"><Label value="Bus"/></BrushLabels><Image')
    project = fill(exports, config)
    exports.import_(
        project, write(exports, [{"data": {"image": url("set/a.png")}, "annotations": [{"result": brush(CAR, "Bus")}]}])
    )
    (stored,) = exports.server.annotations[task_of(exports, project, "a")]
    assert [(one["from_name"], one["value"]["brushlabels"]) for one in stored["result"]] == [("more", ["Bus"])]


def test_completions_of_old_label_studio(exports: ExportBench) -> None:
    project = fill(exports, FUSED)
    row = {"data": {"image": url("set/a.png")}, "completions": [{"id": 1, "result": brush(CAR, "Car")}]}
    assert exports.import_(project, write(exports, [row])).added == 1


def test_byte_order_mark(exports: ExportBench) -> None:
    """What Windows' editors put before UTF-8."""
    project = fill(exports, FUSED)
    exports.server.annotate(task_of(exports, project, "a"), brush(CAR, "Car"))
    for format_name, file in {
        "coco": "annotations.json",
        "rle-json": "masks.jsonl",
        "label-studio": "tasks.json",
    }.items():
        exports.export(project, format_name, format_name)
        path = exports.folder / format_name / file
        path.write_bytes(codecs.BOM_UTF8 + path.read_bytes())
        assert exports.import_(project, f"{format_name}/{file}").present == 1


OTHERS: dict[str, tuple[bytes, str]] = {
    "JSON-MIN": (b'[{"image": "a.png", "id": 1, "annotator": 1, "label": []}]', "is of Label Studio's JSON-MIN"),
    "ZIP": (b"PK\x03\x04rest", "is a ZIP archive; unpack it and give the JSON file in it"),
    "XML": (b'<?xml version="1.0"?>\n<annotations/>', "is XML (CVAT, Pascal VOC) or a web page"),
    "UTF-16": ("[]".encode("utf-16"), "is UTF-16 text; save it as UTF-8"),
    "GeoJSON": (b'{"type": "FeatureCollection", "features": []}', "it has 'features', 'type'"),
    "no JSON": (b"image,label\n", "it is not JSON"),
    "two images": (
        json.dumps(
            [
                {
                    "data": {"left": "/a.png", "right": "/b.png"},
                    "annotations": [{"result": [rectangle("Car", (1, 1, 2, 2), SIZE)]}],
                }
            ]
        ).encode(),
        "entry 1 shows 2 images and has regions on 'image': which of them is which is unknown",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("content", "message"), OTHERS.values(), ids=OTHERS)
def test_other_files_are_told_what_they_are(exports: ExportBench, content: bytes, message: str) -> None:
    (exports.folder / "x.json").write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        exports.import_(fill(exports, FUSED), "x.json")
    assert message in str(caught.value)


def test_folder_with_several_files_is_not_guessed(exports: ExportBench, tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        write(exports, coco("a.png"), f"both/{name}")
    with pytest.raises(SettingsError, match=r"there are a.json, b.json; give the file"):
        exports.import_(fill(exports, FUSED), "both")


def test_a_name_of_two_images_of_a_file_is_told(exports: ExportBench) -> None:
    project = fill(exports, POLYGONS)
    exports.import_(project, write(exports, coco("a.png", "a.png", "b.png")))
    told = "result.json: 1 names stand for several images of the file, each is taken as one (a.png)"
    assert told in exports.report.notices
    assert len(exports.server.annotations[task_of(exports, project, "a")][0]["result"]) == 2


def shared_image(exports: ExportBench, *, annotated: bool) -> tuple[Project, list[int]]:
    """Two tasks, each of a colour image of its own and one thermal image that both show."""
    project = exports.server.project(PAIR)
    tasks = [exports.server.task(project, rgb=url(f"set/{name}.png"), thermal=url("set/t.png")) for name in "ab"]
    for task, mask in zip(tasks, (CAR, ROAD), strict=True):
        value = brush(mask, "Car")[0]["value"]
        drawn = [
            result("brushlabels", f"brush_{name}", f"{name}{task}", SIZE, value, to_name=name)
            for name in ("rgb", "thermal")
        ]
        if annotated:
            exports.server.annotate(task, drawn)
    return project, tasks


@pytest.mark.parametrize("is_fresh", [False, True], ids=["tasks", "no tasks"])
def test_tasks_that_share_an_image_stay_whole(exports: ExportBench, is_fresh: bool) -> None:
    project, _ = shared_image(exports, annotated=True)
    exports.export(project, "label-studio")
    assert exports.import_(project).present == 2
    other = exports.server.project(PAIR) if is_fresh else shared_image(exports, annotated=False)[0]
    assert exports.import_(other, create_tasks=is_fresh).added == 2
    assert exports.import_(other).present == 2
    exports.export(other, "label-studio", "again")
    assert exports.json("again/tasks.json") == exports.json("out/tasks.json")


def test_task_that_was_made_gets_the_image_it_shares(exports: ExportBench) -> None:
    """The project has one of the two tasks; the image that both show does not go to it twice."""
    project, (_, second) = shared_image(exports, annotated=True)
    exports.export(project, "label-studio")
    del exports.server.tasks[second]
    exports.server.annotations[min(exports.server.annotations)].clear()
    assert exports.import_(project, create_tasks=True).added == 2
    exports.export(project, "label-studio", "again")
    assert exports.json("again/tasks.json") == exports.json("out/tasks.json")


def test_best_task_goes_to_who_has_most_of_its_images(exports: ExportBench) -> None:
    """A task of the file whose own image the project lacks comes first, and takes no other's task."""
    project, _ = shared_image(exports, annotated=True)
    extra = exports.server.task(project, rgb=url("set/c.png"), thermal=url("set/t.png"))
    value = brush(ROAD, "Car")[0]["value"]
    exports.server.annotate(extra, [result("brushlabels", "brush_thermal", "x", SIZE, value, to_name="thermal")])
    exports.export(project, "label-studio")
    rows = exports.json("out/tasks.json")
    other, tasks = shared_image(exports, annotated=False)
    exports.import_(other, write(exports, rows[::-1]))
    names = [[one["to_name"] for one in exports.server.annotations[task][-1]["result"]] for task in tasks]
    assert names == [["rgb", "thermal"], ["rgb", "thermal"]]


TWINS = {
    "query": ("https://h/render.png?frame=1", "https://h/render.png?frame=2"),
    "backslash": (url("set/a%5Cb.png"), url("set/a_b.png")),
    "space": ("s3://bucket/a%20b.png", "s3://bucket/a b.png"),
}


@pytest.mark.parametrize("twins", TWINS.values(), ids=TWINS)
def test_two_images_of_one_name_keep_their_masks(exports: ExportBench, twins: tuple[str, str]) -> None:
    """The name in an export is the same; Label Studio's JSON has their URLs, which tell them apart."""
    project = exports.server.project(POLYGONS)
    for image in twins:
        exports.server.task(project, image=image)
    corners = [{"points": [[10, 30], [x, 30], [45, 80]], "polygonlabels": ["Car"]} for x in (25, 30)]
    rows = [
        {"data": {"image": image}, "annotations": [{"result": [result("polygonlabels", "poly", "p", SIZE, value)]}]}
        for image, value in zip(twins, corners, strict=True)
    ]
    exports.import_(project, write(exports, rows[::-1]))
    assert drawn(exports, project) == {twins[0]: 5, twins[1]: 6}


def test_name_of_two_images_is_not_guessed(exports: ExportBench) -> None:
    project = exports.server.project(POLYGONS)
    for image in TWINS["query"]:
        exports.server.task(project, image=image)
    with pytest.raises(
        SettingsError, match=r"render.png may be https://h/render.png\?frame=1, .*frame=2, which have one"
    ):
        exports.import_(project, write(exports, coco("render.png")))
    assert drawn(exports, project) == {}


def test_two_urls_that_would_be_one_image_are_refused(exports: ExportBench) -> None:
    """The project has one frame only: the other's masks are not its own."""
    project = exports.server.project(FUSED)
    exports.server.task(project, image=TWINS["query"][0])
    rows = [{"data": {"image": one}, "annotations": [{"result": brush(CAR, "Car")}]} for one in TWINS["query"]]
    with pytest.raises(SettingsError, match=r"frame=1 and https://h/render.png\?frame=2 would both be h/render.png"):
        exports.import_(project, write(exports, rows))
