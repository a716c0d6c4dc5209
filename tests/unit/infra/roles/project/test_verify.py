"""The proof click against the fake Label Studio: what passes, what is noted, what fails and how it is said."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from label_studio_sdk.converter.brush import mask2rle
from numpy.typing import NDArray
from PIL import Image

from core.errors import ProofFailed
from core.report import Report
from core.repository import REPOSITORY
from infra.roles.project.role import ProjectContext
from infra.roles.project.verify import SmokeTest, verify
from infra.roles.stack.image_folders import ImageFolder
from labelstudio.access import Access
from labelstudio.config import load_project
from labelstudio.masks import MaskResult
from labelstudio.models import TaskRef
from labelstudio.proof import Reply, Target
from tests.fakes import FakeHost
from tests.unit.infra.roles.project.labelstudio_bench import LOGIN, no_secret
from tests.unit.labelstudio.labelstudio_fake import BASE, EMAIL, PASSWORD, FakeLabelStudio
from tests.unit.labelstudio.test_session import Container

HEIGHT, WIDTH = 48, 64
CLICK = (20, 15)
LOG = "see the log of the sam2 container (`docker logs`)"
Answer = Callable[[dict[str, Any]], httpx.Response]


def square(left: int, right: int) -> NDArray[np.bool_]:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[10:20, left:right] = True
    return mask


TRUTH = square(10, 30)


def masked(
    mask: NDArray[np.bool_], *, label: str = "Sky", tag: str = "brush", score: float = 0.9, version: str = "demo@1"
) -> Answer:
    """A backend that always answers with this mask, in the two results of version 2."""

    def answer(_request: dict[str, Any]) -> httpx.Response:
        rle = mask2rle(np.where(mask, np.uint8(255), np.uint8(0)))
        region = {"id": "0123456789abcdef", "to_name": "image", "original_width": mask.shape[1], "score": score}
        region |= {"original_height": mask.shape[0], "image_rotation": 0}
        results = [
            region | {"from_name": tag, "type": "brush", "value": {"format": "rle", "rle": rle}},
            region | {"from_name": "label", "type": "labels", "value": {"labels": [label]}},
        ]
        return httpx.Response(200, json={"data": {"model_version": version, "score": score, "result": results}})

    return answer


class Bench:
    """A project with one task, its truth, and a backend to be replaced by each test."""

    def __init__(self, tmp_path: Path) -> None:
        self.server = FakeLabelStudio()
        self.spec = load_project(REPOSITORY, "rgbt-sar")
        self.report = Report(io.StringIO())
        self.truth: Path | None = tmp_path
        self.asked: list[dict[str, Any]] = []
        self.host = FakeHost()
        self.host.script("test", "-f", "/data/set/a.png")
        self.access = Access(BASE, EMAIL, PASSWORD, self.server.token(), self.server.transport)
        project = self.server.new_id()
        self.server.projects[project] = {"id": project, "title": "RGBT-SAR", "label_config": "<View/>"}
        self.backend = self.server.new_id()
        self.server.backends[self.backend] = {
            "id": self.backend,
            "project": project,
            "url": "http://sam2:9090",
            "title": "SAM2",
            "is_interactive": True,
            "state": "CO",
        }
        self.task = self.server.add_task(project, "/data/local-files/?d=set/a.png")
        self.image = io.BytesIO()
        Image.new("RGB", (WIDTH, HEIGHT)).save(self.image, "PNG")
        self.damaged: set[str] = set()
        self.server.overrides["GET /data/local-files"] = self._served
        one = {"label": "Sky", "click_xy": CLICK, "box_xyxy": [10, 10, 30, 20], "negative_xy": None, "mask": "a-0.png"}
        (tmp_path / "a.json").write_text(json.dumps([one]))
        Image.fromarray(TRUTH.astype(np.uint8) * 255).save(tmp_path / "a-0.png")
        self.answers(masked(TRUTH))

    def _served(self, request: httpx.Request) -> httpx.Response:
        if request.url.params["d"] in self.damaged:
            return httpx.Response(200, content=b"cut off")
        return httpx.Response(200, content=self.image.getvalue())

    def add(self, name: str) -> int:
        """One more task, whose image is there."""
        self.host.script("test", "-f", f"/data/set/{name}")
        return self.server.add_task(next(iter(self.server.projects)), f"/data/local-files/?d=set/{name}")

    def spoil(self, name: str) -> None:
        self.damaged.add(f"set/{name}")

    def answers(self, answer: Answer) -> None:
        def handler(request: httpx.Request) -> httpx.Response:
            body = json.loads(request.content)
            self.asked.append(body)
            return answer(body)

        self.server.overrides[f"POST /api/ml/{self.backend}/interactive-annotating"] = handler

    def prove(self) -> SmokeTest:
        ctx = ProjectContext(
            host=self.host,
            env_file="/.env",
            state="/state",
            folder=ImageFolder("set", "/data/set"),
            access=self.access,
            exec_in_label_studio=Container(self.server),
            exec_in_backend=Container(self.server),
            write_secret=no_secret,
            backend_login=LOGIN,
            report=self.report,
            truth=self.truth,
        )
        return verify(self.spec, ctx, self.report)

    def fails(self) -> str:
        with pytest.raises(ProofFailed) as caught:
            self.prove()
        return str(caught.value)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    one = Bench(tmp_path)
    yield one
    one.access.close()


def test_a_true_mask_is_the_proof(bench: Bench) -> None:
    proof = bench.prove()
    assert (proof.task_id, proof.image, proof.click_xy, proof.label) == (bench.task, "a.png", CLICK, "Sky")
    assert (proof.iou, proof.score, proof.model_version) == (1.0, 0.9, "demo@1")
    assert proof.covered == pytest.approx(200 / (WIDTH * HEIGHT))
    assert bench.report.notices == []
    assert proof.sentence() == (
        f"a click on a.png at (20, 15) came back as a mask in {proof.seconds:.1f} s: IoU 1.00 with the drawn object, "
        "6.5 % of the image, the model's own score 0.90 (model demo@1)"
    )
    regions = bench.asked[0]["context"]["result"]
    assert bench.asked[0]["task"] == bench.task
    assert [(one["type"], one["value"]["x"], one["value"]["y"]) for one in regions] == [
        ("keypoint", 31.25, 31.25),
        ("labels", 31.25, 31.25),
    ]


def test_a_rough_mask_is_noted(bench: Bench) -> None:
    bench.answers(masked(square(10, 22)))
    assert bench.prove().iou == pytest.approx(0.6)
    assert bench.report.notices == ["the proof click's mask is rough: IoU 0.60, 0.75 or more is usual"]


def nothing(_request: dict[str, Any]) -> httpx.Response:
    return httpx.Response(200, json={"data": {"model_version": "demo@1", "score": 0.0, "result": []}})


FAILURES: dict[str, tuple[Answer, str]] = {
    "wrong place": (
        masked(square(10, 19)),
        "the mask is not the clicked object: IoU 0.45 with the truth of a.png at (20, 15), at least 0.5 expected; are "
        "the model's weights whole, and the right ones (model demo@1)?",
    ),
    "beside the click": (
        masked(TRUTH & ~square(20, 21)),
        f"the mask does not cover the clicked pixel of a.png at (20, 15); {LOG}",
    ),
    "nothing": (nothing, f"the model found nothing in a.png at (20, 15), where an object was drawn; {LOG}"),
    "empty mask": (masked(TRUTH & False), f"the mask that came back is empty; {LOG}"),
    "another size": (
        masked(TRUTH[:, :50]),
        "the mask is 50x48 pixels, the image a.png 64x48: the backend reads another file than Label Studio serves",
    ),
    "another tag": (
        masked(TRUTH, tag="kpts"),
        'no mask for the tag "brush" with the label Sky came back (masks: kpts Sky): the backend reads another '
        f"labeling configuration than rgbt-sar/v2; {LOG}",
    ),
    "another label": (
        masked(TRUTH, label="Road"),
        'no mask for the tag "brush" with the label Sky came back (masks: brush Road): the backend reads another '
        f"labeling configuration than rgbt-sar/v2; {LOG}",
    ),
    "backend error": (
        # Recorded: HTTP 200 with the cause, when the backend cannot be reached.
        lambda _: httpx.Response(200, json={"errors": ["ML backend returned an error:\n 500 no such file"]}),
        "the click did not reach the model, or failed there. Label Studio says: ML backend returned an error: 500 no "
        f"such file; {LOG}",
    ),
    "no data": (
        lambda _: httpx.Response(200, json={"data": None}),
        f"the backend answered the click with nothing; {LOG}",
    ),
    "no results": (
        lambda _: httpx.Response(200, json={"data": {"results": []}}),
        f"the backend's answer has no list of results; {LOG}",
    ),
    "broken mask": (
        lambda _: httpx.Response(
            200, json={"data": {"result": [{"id": "1", "from_name": "brush", "value": {"format": "rle", "rle": [0]}}]}}
        ),
        f"the mask that came back cannot be read: the mask has no original_width; {LOG}",
    ),
}


@pytest.mark.parametrize(("answer", "message"), FAILURES.values(), ids=FAILURES)
def test_a_broken_link_is_named(bench: Bench, answer: Answer, message: str) -> None:
    bench.answers(answer)
    assert bench.fails() == message


def test_an_image_that_is_not_served_is_named(bench: Bench) -> None:
    bench.server.overrides["GET /data/local-files"] = lambda _: httpx.Response(404)
    assert bench.fails() == (
        f"Label Studio does not serve the image of task {bench.task}: cannot read the image "
        "/data/local-files/?d=set/a.png: Label Studio at http://label-studio.test answered HTTP 404: (nothing); is "
        "the image folder mounted and readable in the label-studio container, and local file serving switched on?"
    )


def test_a_task_whose_file_was_deleted_is_passed_over(bench: Bench) -> None:
    bench.host.script("test", "-f", "/data/set/a.png", exit_code=1)
    assert bench.fails() == (
        "the project has no task with an image of /data/set to click on; run `./inv up` to sync the folder"
    )


def test_a_backend_that_is_not_connected_is_named(bench: Bench) -> None:
    bench.server.backends[bench.backend] |= {"state": "DI", "error_message": "Connection refused"}
    assert bench.fails() == (
        f"Label Studio cannot reach the ML backend http://sam2:9090 (state DI): Connection refused; {LOG}"
    )


def test_a_missing_backend_is_named(bench: Bench) -> None:
    bench.server.backends.clear()
    assert bench.fails() == "the project has no ML backend http://sam2:9090; run `./inv up` to connect it"


def own(mask: NDArray[np.bool_], version: str = "sam2.1-tiny@1") -> Answer:
    return masked(mask, label="First-Responder", version=version)


def test_own_images_are_clicked_where_the_mask_is(bench: Bench) -> None:
    """In own images the middle is clicked first, then other pixels; what the mask shows is not judged."""
    bench.truth = None
    bench.answers(own(square(0, 60)))
    proof = bench.prove()
    assert (proof.iou, proof.click_xy, proof.on_click, len(bench.asked)) == (None, (19, 14), True, 2)
    assert bench.report.notices == []


def test_own_images_are_clicked_until_a_mask_is_found(bench: Bench) -> None:
    """In own images other pixels are tried until something is found."""
    bench.truth = None
    answers = [nothing, own(square(50, 60)), own(square(0, 60))]
    bench.answers(lambda request: answers.pop(0)(request))
    assert bench.prove().click_xy == (44, 14)
    assert len(bench.asked) == 3
    assert bench.report.notices == []


def test_own_images_after_a_blank_one_are_clicked(bench: Bench) -> None:
    """The first image may be blank, or damaged: the next ones are tried."""
    bench.truth = None
    blank, damaged = bench.task, bench.add("b.png")
    last = bench.add("c.png")
    bench.answers(lambda request: (own(square(0, 60)) if request["task"] == last else nothing)(request))
    bench.spoil("b.png")
    assert bench.prove().task_id == last
    assert {one["task"] for one in bench.asked} == {blank, last}
    (notice,) = bench.report.notices
    assert notice.startswith(f"the image of task {damaged} (/data/local-files/?d=set/b.png) is no readable image")


def test_masks_that_are_elsewhere_fail(bench: Bench) -> None:
    """A real model's mask covers its click; where none does, clicks and masks are not of one picture."""
    bench.truth = None
    bench.answers(own(square(0, 1)))
    assert bench.fails() == (
        "the mask does not cover the clicked pixel (44, 24) of a.png, and none did at the other pixels that were "
        "tried: the model is asked about another picture than Label Studio shows, or its weights are damaged; " + LOG
    )
    assert len(bench.asked) == 9


def test_the_demo_model_is_not_judged_on_own_images(bench: Bench) -> None:
    """It knows drawn shapes only: `doctor` would warn for ever, and nobody could do anything about it."""
    bench.truth = None
    bench.answers(own(square(0, 1), "demo@1"))
    proof = bench.prove()
    assert not proof.on_click
    assert proof.sentence() == (
        f"a click on a.png at (44, 24) came back as a mask in {proof.seconds:.1f} s, beside the click, which says "
        "nothing: the demo model knows drawn shapes only (model demo@1)"
    )
    bench.answers(nothing)
    proof = bench.prove()
    assert proof.sentence() == (
        f"a click on a.png at (44, 24) was answered in {proof.seconds:.1f} s: the model found no object there "
        "(model demo@1)"
    )
    assert bench.report.notices == []


def test_own_images_without_masks_are_a_notice(bench: Bench) -> None:
    """Own images in which a real model finds nothing are noted and not a failure."""
    bench.truth = None
    empty = {"model_version": "sam2.1-tiny@1", "score": 0.0, "result": []}
    bench.answers(lambda _: httpx.Response(200, json={"data": empty}))
    bench.prove()
    assert bench.report.notices == [
        "the way to the model and back works, but it found no object in a.png at the pixels that were tried; look at "
        "a few images before you rely on it"
    ]


def test_a_box_is_hit_by_a_mask_in_it() -> None:
    """Without a point tool a box is drawn around the pixel, and the mask may be anywhere in it."""
    reply = Reply(MaskResult(square(10, 30), "m", "brush", ("Sky",), 0.9), "sam2.1-tiny@1", 0.1)
    target = Target(TaskRef(1, "", 0, None), "a.png", (WIDTH, HEIGHT), "Sky", ((32, 24),), None)
    assert not reply.covers(target, (32, 24))
    assert reply.covers(replace(target, reach_wh=(8, 6)), (32, 24))
    assert not reply.covers(replace(target, reach_wh=(2, 6)), (32, 24))


def test_the_size_is_that_of_the_upright_image(bench: Bench) -> None:
    bench.image = io.BytesIO()
    turned = Image.new("RGB", (HEIGHT, WIDTH))
    exif = turned.getexif()
    exif[0x0112] = 6  # the browser shows it turned by 90 degrees
    turned.save(bench.image, "PNG", exif=exif)
    assert bench.prove().iou == 1.0
