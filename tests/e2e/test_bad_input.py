"""Bad input through `./inv` on the real stack: one clear error, its exit code, and nothing changed anywhere."""

from __future__ import annotations

import json
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from core.repository import REPOSITORY
from labelstudio.bulk import add_annotation, add_tasks, task_rows
from labelstudio.client import Client
from tests.e2e.clone import Clone
from tests.e2e.conftest import Stack
from tests.e2e.project_cases import Stage
from tests.unit.labelstudio.annotated import brush as fused_brush
from tests.unit.labelstudio.annotated import rectangle_mask, with_palette

SIZE = (1920, 1080)
MINIMAL = (REPOSITORY / "labeling_configs" / "minimal" / "v1.xml").read_text(encoding="utf-8")
MASK = rectangle_mask(SIZE, 20, 30, 400, 300)


@dataclass(frozen=True)
class Bad:
    """What every case works on: a project with two tasks, one of them annotated, and its export."""

    clone: Clone
    client: Client
    project_id: int
    title: str
    folder: Path
    coco: dict[str, Any]
    images: str

    def project(self, config: str = "minimal", **more: Any) -> None:
        """One more project in `projects.yaml`."""
        self.clone.projects(work=self.work(), bad={"title": "Never made", "config": config, "version": 1, **more})

    def work(self) -> dict[str, Any]:
        images = {"folder": self.images, "filter": r"scene-0[12]\.png"}
        return {"title": self.title, "config": "rgbt-sar", "version": 2, "images": images}

    def config(self, text: str) -> None:
        """A configuration of its own for that project."""
        (self.clone.configs / "bad").mkdir(exist_ok=True)
        (self.clone.configs / "bad" / "v1.xml").write_text(text, encoding="utf-8")
        self.project("bad")

    def file(self, **changes: Any) -> None:
        """The export with something changed, as `coco.json`."""
        (self.folder / "coco.json").write_text(json.dumps({**self.coco, **changes}), encoding="utf-8")

    def first(self, part: str, **changes: Any) -> None:
        """The export with something changed in the first entry of a list of it."""
        first, *others = self.coco[part]
        self.file(**{part: [{**first, **changes}, *others]})

    def here(self) -> dict[str, object]:
        """What a case must leave as it was in the clone and in the folder of exports, once it is prepared."""
        return {
            "locks": {path.name: path.read_bytes() for path in sorted(self.clone.configs.rglob("*.lock"))},
            "files": sorted(str(path) for path in self.folder.rglob("*") if path.name != "coco.json"),
        }

    def on_the_server(self) -> dict[str, object]:
        """What all cases must leave as it was."""
        rows = self.client.task_states(self.project_id, "annotations")
        return {
            "titles": self.client.titles(),
            "project": self.client.project(self.project_id),
            "tasks": [(one["id"], one["data"], one["annotations"]) for one in rows],
            "predictions": self.client.model_versions(self.project_id),
            "storages": self.client.storages(self.project_id),
        }


@pytest.fixture(scope="module")
def bad(stack: Stack, stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bad]:
    clone = Clone.make(tmp_path_factory.mktemp("clone"), stack.environment)
    folder, title = tmp_path_factory.mktemp("files"), f"Bad input {secrets.token_hex(3)}"
    empty = Path(stage.ctx.folder.path) / "nothing here"
    empty.mkdir()
    empty.chmod(0o755)
    text = (REPOSITORY / "labeling_configs" / "rgbt-sar" / "v2.xml").read_text(encoding="utf-8")
    project_id = stage.client.create_project(title, "", text)
    try:
        names = [f"{stage.ctx.folder.name}/scene-0{number}.png" for number in (1, 2)]
        add_tasks(stage.client, project_id, [{"image": f"/data/local-files/?d={name}"} for name in names])
        task = next(task_rows(stage.client, project_id)).id
        value = {"format": "rle", "rle": fused_brush(MASK, "Road")[0]["value"]["rle"]}
        add_annotation(stage.client, task, {"result": with_palette("brush", "brush", value, "Road", SIZE, "one")})
        clone.projects()
        clone.result("export", "--format", "coco", "--project", title, "--out", str(folder / "good"))
        coco = json.loads((folder / "good" / "annotations.json").read_text(encoding="utf-8"))
        yolo = folder / "yolo"
        yolo.mkdir()
        (yolo / "classes.txt").write_text("Road\n")
        (yolo / "scene-01.txt").write_text("0 1.5 0.5 0.2 0.2\n0 0.5 0.5 0.2\n7 0.5 0.5 0.1 0.1\n")
        (folder / "filled").mkdir()
        (folder / "filled" / "mine.txt").write_text("a person's own\n")
        yield Bad(clone, stage.client, project_id, title, folder, coco, stage.ctx.folder.name)
    finally:
        shutil.rmtree(empty)
        stage.client.sdk.projects.delete(project_id)


@pytest.fixture(scope="module")
def server(bad: Bad) -> dict[str, object]:
    """As it was before the first case."""
    return bad.on_the_server()


@dataclass(frozen=True)
class Case:
    """One thing that is wrong.

    Attributes:
        inv: the command line; FOLDER and TITLE are filled in.
        says: parts of the error.
        prepare: makes the files wrong.
    """

    name: str
    inv: str
    says: tuple[str, ...]
    code: int = 2
    prepare: Callable[[Bad], object] = field(default=lambda bad: bad.clone.projects(work=bad.work()))


def written(text: str) -> Callable[[Bad], object]:
    return lambda bad: (bad.clone.configs / "projects.yaml").write_text(text, encoding="utf-8")


def wrong(part: str, **changes: Any) -> Callable[[Bad], object]:
    return lambda bad: (bad.clone.projects(), bad.first(part, **changes))


def turned(bad: Bad) -> None:
    """The size of the image before its EXIF orientation, and an outline in these pixels."""
    bad.clone.projects(work=bad.work())
    first, *others = bad.coco["images"]
    outline = {**bad.coco["annotations"][0], "kind": "polygon", "segmentation": [[20, 30, 400, 30, 400, 300]]}
    bad.file(images=[{**first, "width": SIZE[1], "height": SIZE[0]}, *others], annotations=[outline])


def other_variable(bad: Bad) -> None:
    """The project's own configuration, but for the variable of its image."""
    (bad.clone.configs / "other").mkdir(exist_ok=True)
    text = (bad.clone.configs / "rgbt-sar" / "v2.xml").read_text(encoding="utf-8")
    (bad.clone.configs / "other" / "v1.xml").write_text(text.replace("$image", "$photo"), encoding="utf-8")
    bad.clone.projects(work={**bad.work(), "config": "other", "version": 1})


DEFAULT = "  rgbt-sar: {title: RGBT-SAR, config: rgbt-sar, version: 2, default: true}\n"
SAME = "  a: {title: Same, config: minimal, version: 1}\n  b: {title: Same, config: polygon, version: 1}\n"
TWICE = "  a: {title: One, config: minimal, version: 1}\n  a: {title: Two, config: polygon, version: 1}\n"
PAIRS = {"pairs": {"rgb": "RGB/{name}.jpg", "thermal": "T/{name}.jpg"}}
IMPORT = "import|FOLDER/coco.json|--format|coco|--project|TITLE"
EXPORT = "export|--format|coco|--project|TITLE|--out|FOLDER/"
APPLY = "project.apply|--project|bad"

CASES = (
    Case("broken XML", APPLY, ("bad/v1.xml:1: not well-formed XML",), prepare=lambda bad: bad.config("<View><Image")),
    Case(
        "unknown tag",
        APPLY,
        ("bad/v1.xml:1: Label Studio 1.23.2 knows no tag <Imagge>", "there is no <Image>"),
        prepare=lambda bad: bad.config('<View><Imagge name="i" value="$image"/></View>'),
    ),
    Case(
        "no output",
        APPLY,
        ('nothing takes the masks of the image "image"',),
        prepare=lambda bad: bad.config(re.sub("<(Brush|Rectangle) .*/>", "", MINIMAL)),
    ),
    Case(
        "variable missing in the data",
        "config.check|--path|labeling_configs/bad|--project|TITLE",
        ('v1.xml:12: value="$photo": the tasks have no photo (they have: image)',),
        prepare=lambda bad: bad.config(MINIMAL.replace("$image", "$photo")),
    ),
    Case(
        "version with another variable",
        "project.apply|--project|work",
        ("other/v1 shows $photo, and the 2 tasks of",),
        prepare=other_variable,
    ),
    Case(
        "folder not connected",
        APPLY,
        ("projects.bad.images.folder: no folder 'nowhere' is connected here",),
        prepare=lambda bad: bad.project(images={"folder": "nowhere"}),
    ),
    Case(
        "folder missing",
        APPLY,
        ("projects.bad.images.folder: there is no folder",),
        prepare=lambda bad: bad.project(images={"folder": f"{bad.images}/nowhere"}),
    ),
    Case(
        "folder without images",
        APPLY,
        ("no image in", "nothing here has a name that matches '.*png' as a whole"),
        1,
        prepare=lambda bad: bad.project(images={"folder": f"{bad.images}/nothing here"}),
    ),
    Case(
        "no pairs",
        APPLY,
        ("make a pair of 'RGB/{name}.jpg' and 'T/{name}.jpg'",),
        1,
        prepare=lambda bad: bad.project("rgbt-pair", images={"folder": bad.images, **PAIRS}),
    ),
    Case(
        "filter",
        APPLY,
        ("projects.bad.images.filter: is no regular expression",),
        prepare=lambda bad: bad.project(images={"filter": "*.png"}),
    ),
    Case(
        "unknown key",
        APPLY,
        ("projects.bad.imags: is no key here; did you mean images?",),
        prepare=lambda bad: bad.project(imags={"filter": ".*png"}),
    ),
    Case(
        "title twice",
        "project.plan",
        ("projects.b.title: 'Same' is the title of projects.a too",),
        prepare=written(f"projects:\n{DEFAULT}{SAME}"),
    ),
    Case(
        "key twice",
        "project.plan",
        ("line 4: a is given twice (also on line 3)",),
        prepare=written(f"projects:\n{DEFAULT}{TWICE}"),
    ),
    Case("image id", IMPORT, ("annotation 1: image_id 999 is not an",), prepare=wrong("annotations", image_id=999)),
    Case("category id", IMPORT, ("category_id 999 is not a category",), prepare=wrong("annotations", category_id=999)),
    Case(
        "size of the image",
        IMPORT,
        ("scene-01.png: the file says 1080x1920 pixels, the image is shown with 1920x1080",),
        prepare=turned,
    ),
    Case(
        "category that the project lacks",
        IMPORT,
        ('no tag of the project takes a brush with the label "Unicorn"',),
        prepare=lambda bad: bad.file(categories=[{**one, "name": "Unicorn"} for one in bad.coco["categories"]]),
    ),
    Case(
        "images that the project lacks",
        IMPORT,
        ("none of the 1 images of the file is in the project",),
        1,
        prepare=wrong("images", file_name="elsewhere.png"),
    ),
    Case(
        "file cut off",
        IMPORT,
        ("coco.json is not JSON: parse error: premature EOF",),
        prepare=lambda bad: (bad.folder / "coco.json").write_text(json.dumps(bad.coco)[:500]),
    ),
    Case("no such file", "import|FOLDER/none.json|--format|coco|--project|TITLE", ("there is no such file",)),
    Case("import: project", "import|FOLDER/good|--project|No such", ("Label Studio has no project called 'No such'",)),
    Case("export: project", "export|--format|coco|--project|No such", ("no project called 'No such' (there are: ",)),
    Case("export: format", "export|--format|cocoo|--project|TITLE", ("--format is one of coco, ", "not 'cocoo'")),
    Case("export: label", f"{EXPORT}new|--labels|Raod", ("has no 'Raod' (there are: First-Responder",)),
    Case("export: folder filled", f"{EXPORT}filled", ("filled is there already; --force replaces it",)),
    Case("export: no export there", f"{EXPORT}filled|--force", ("filled is no export (it has no manifest.json)",)),
    Case("export: no place", "export|--format|coco|--project|TITLE|--out|/proc/x", ("cannot write the export",), 1),
    Case(
        "preannotate: image id",
        "preannotate|--project|work|--boxes|FOLDER/coco.json",
        ("annotation 1: image_id 999 is not an image of the file",),
        prepare=lambda bad: (bad.clone.projects(work=bad.work()), bad.first("annotations", image_id=999)),
    ),
    Case(
        "preannotate: size of the image",
        "preannotate|--project|work|--boxes|FOLDER/coco.json|--also-annotated",
        ("1 images failed", "its boxes are of an image of 1080x1920 pixels, and it is shown with 1920x1080"),
        1,
        prepare=turned,
    ),
    Case(
        "preannotate: boxes outside",
        "preannotate|--project|work|--boxes|FOLDER/yolo",
        ("scene-01.txt:1: must be shares", "scene-01.txt:2: must be `class", "scene-01.txt:3: class 7 has no name"),
    ),
    Case(
        "preannotate: image", "preannotate|--project|work|--boxes|annotations|--image|thermal", ("(there are: image)",)
    ),
    Case("rename to nothing", "project.apply|--project|work|--rename|Road=Unicorn", ("has no label 'Unicorn'",)),
    Case("rename of nothing", "project.apply|--project|work|--rename|Road", ("must be OLD=NEW",)),
    Case("stats: page", "stats|--project|work|--html|/proc/x.html", ("/proc/x.html: cannot be written",), 1),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_clear_error_and_nothing_changed(bad: Bad, server: dict[str, object], case: Case) -> None:
    case.prepare(bad)
    before = bad.here()
    words = [word.replace("FOLDER", str(bad.folder)).replace("TITLE", bad.title) for word in case.inv.split("|")]

    done = bad.clone.inv(*words)

    said = done.stdout + done.stderr
    assert done.returncode == case.code, said
    assert [part for part in case.says if part not in said] == [], said
    assert [line[:7] for line in said.splitlines()].count("error: ") == 1, said
    assert "Traceback" not in said
    assert bad.here() == before
    assert bad.on_the_server() == server
