"""Every way in which a task names its images, and every kind of image, clicked through a real Label Studio."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labelstudio.masks import masks_in
from tests.e2e.project_cases import Stage
from tests.e2e.subjects import BRUSH, GOOD, PROMPTS, Make, Subject, config
from tests.e2e.subjects import bench as bench
from tests.e2e.subjects import make as make
from tests.e2e.subjects import subjects as subjects
from tests.e2e.workbench import Bench, box, point


def test_uploaded_images_are_fetched_with_the_token(bench: Bench, subjects: list[Subject]) -> None:
    subject = subjects[0]
    task = bench.upload(subject.file)
    assert subject.fits(bench.mask(task, point(subject.one.click_xy, subject.size_wh))) >= GOOD


def test_image_that_the_task_itself_holds_is_clicked(bench: Bench, subjects: list[Subject]) -> None:
    subject = subjects[0]
    task = bench.task(image="data:image/png;base64," + base64.b64encode(subject.file.read_bytes()).decode())
    assert subject.fits(bench.mask(task, point(subject.one.click_xy, subject.size_wh))) >= GOOD


def test_several_images_of_one_task(make: Make, subjects: list[Subject]) -> None:
    """The prompt's own image decides, and the answer belongs to it."""
    first, second = subjects[0], next(one for one in subjects if one.url != subjects[0].url)
    names = 'toName="rgb,thermal"'
    xml = (
        '<View><Image name="rgb" value="$rgb"/><Image name="thermal" value="$thermal"/>'
        + PROMPTS.replace('toName="image"', names)
        + BRUSH.replace('toName="image"', names)
        + "</View>"
    )
    with make(xml) as bench:
        task = bench.task(image="-", rgb=first.url, thermal=second.url)
        for name, subject in (("rgb", first), ("thermal", second)):
            (one,) = bench.ask(task, point(subject.one.click_xy, subject.size_wh, to_name=name))
            assert one["to_name"] == name
            assert subject.fits(masks_in([one])[0].mask) >= GOOD


def test_the_pages_of_a_list_of_images(make: Make, subjects: list[Subject]) -> None:
    first, second = subjects[0], next(one for one in subjects if one.url != subjects[0].url)
    xml = config(BRUSH, image='<Image name="image" valueList="$pages"/>')
    with make(xml) as bench:
        task = bench.task(image="-", pages=[first.url, second.url])
        for index, subject in enumerate((first, second)):
            (one,) = bench.ask(task, point(subject.one.click_xy, subject.size_wh, item_index=index))
            assert one["item_index"] == index
            assert subject.fits(masks_in([one])[0].mask) >= GOOD


def test_repeated_images_of_a_task_are_clicked(make: Make, subjects: list[Subject]) -> None:
    """Label Studio takes the configuration, and the prompt's own page is segmented."""
    first, second = subjects[0], next(one for one in subjects if one.url != subjects[0].url)
    tags = '<Image name="page_{{idx}}" value="$pages[{{idx}}].url"/>' + (PROMPTS + BRUSH).replace(
        'toName="image"', 'toName="page_{{idx}}"'
    )
    for name in ("point", "box", "brush"):
        tags = tags.replace(f'name="{name}"', f'name="{name}_{{{{idx}}}}"')
    with make(f'<View><Repeater on="$pages">{tags}</Repeater></View>') as bench:
        task = bench.task(image="-", pages=[{"url": first.url}, {"url": second.url}])
        for at, subject in enumerate((first, second)):
            prompt = point(subject.one.click_xy, subject.size_wh, to_name=f"page_{at}") | {"from_name": f"point_{at}"}
            (one,) = bench.ask(task, prompt)
            assert (one["from_name"], one["to_name"]) == (f"brush_{at}", f"page_{at}")
            assert subject.fits(masks_in([one])[0].mask) >= GOOD


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_turned_photographs(stage: Stage, bench: Bench, subjects: list[Subject], orientation: int) -> None:
    """Stored turned, with the EXIF tag that turns it back: browser and backend see the same upright picture."""
    subject = subjects[0]
    turn = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}[orientation]
    name = f"turned-{orientation}.jpg"
    path = Path(stage.ctx.folder.path) / name
    exif = Image.Exif()
    exif[0x0112] = orientation
    with Image.open(subject.file) as picture:
        picture.transpose(turn).save(path, quality=95, exif=exif)
    path.chmod(0o644)
    try:
        task = bench.task(image=f"/data/local-files/?d={stage.ctx.folder.name}/{name}")
        mask = bench.mask(task, point(subject.one.click_xy, subject.size_wh))
    finally:
        path.unlink()
    assert mask.shape == subject.size_wh[::-1]
    assert subject.fits(mask) >= GOOD


def test_a_sixteen_bit_frame(stage: Stage, bench: Bench, subjects: list[Subject]) -> None:
    """A narrow band of counts, as a thermal camera writes it: without a stretch it would be one flat grey."""
    subject = subjects[0]
    path = Path(stage.ctx.folder.path) / "thermal-16.png"
    with Image.open(subject.file) as picture:
        grey = np.asarray(picture.convert("L"), dtype=np.uint16)
    Image.fromarray(7000 + 2 * grey).save(path)
    path.chmod(0o644)
    try:
        task = bench.task(image=f"/data/local-files/?d={stage.ctx.folder.name}/{path.name}")
        mask = bench.mask(task, box(subject.one.box_xyxy, subject.size_wh))
    finally:
        path.unlink()
    left, top, right, bottom = subject.one.box_xyxy
    assert mask[top:bottom, left:right].sum() / mask.sum() > 0.8
    assert 0.2 < mask.sum() / ((right - left) * (bottom - top)) < 1.3


def test_an_image_that_cannot_be_had_is_said_in_words(bench: Bench, subjects: list[Subject]) -> None:
    missing = bench.task(image="/data/local-files/?d=demo/nothing-here.png")
    assert "'demo/nothing-here.png' is not in" in bench.refusal(missing, point((5, 5), (100, 100)))
    private = bench.task(image="http://169.254.169.254/latest/meta-data/image.png")
    assert "169.254.169.254" in bench.refusal(private, point((5, 5), (100, 100)))
