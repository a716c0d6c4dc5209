"""Large, clear objects of the demo images, and projects to click on them; fixtures that test files import."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest

from labelstudio.truth import TruthObject
from masks.measure import intersection_over_union
from tests.e2e import clicks
from tests.e2e.clicks import Round, Scene
from tests.e2e.project_cases import Stage
from tests.e2e.workbench import LABEL, Bench, Mask, project

GOOD = 0.75
PROMPTS = (
    f'<KeyPointLabels name="point" toName="image" smart="true"><Label value="{LABEL}"/></KeyPointLabels>'
    f'<RectangleLabels name="box" toName="image" smart="true"><Label value="{LABEL}"/></RectangleLabels>'
)
BRUSH = f'<BrushLabels name="brush" toName="image"><Label value="{LABEL}"/></BrushLabels>'


Make = Callable[..., AbstractContextManager[Bench]]


def config(*tags: str, image: str = '<Image name="image" value="$image"/>') -> str:
    """A labeling configuration with smart points and boxes, and these tags."""
    return f"<View>{image}{PROMPTS}{''.join(tags)}</View>"


@dataclass(frozen=True)
class Subject:
    """One large, clear object of a demo image."""

    scene: Scene
    one: TruthObject
    file: Path

    @property
    def url(self) -> str:
        """As the task names the image."""
        return self.scene.task.image

    @property
    def size_wh(self) -> tuple[int, int]:
        """Of the image, in pixels."""
        return self.scene.size_wh

    def fits(self, mask: Mask) -> float:
        """IoU with what was drawn."""
        return intersection_over_union(mask, self.one.mask())


@pytest.fixture(scope="session")
def subjects(round_: Round, stage: Stage) -> list[Subject]:
    """The objects that the model gets right with one click, best scenes first."""
    found = []
    for scene in clicks.scenes(round_)[:6]:
        for one in scene.objects:
            reply = clicks.click(round_, scene, one)
            found.append((reply.iou, Subject(scene, one, Path(stage.ctx.folder.path) / scene.image)))
    found.sort(key=lambda pair: -pair[0])
    assert found[3][0] > 0.85
    return [subject for _, subject in found]


@pytest.fixture(scope="session")
def make(stage: Stage) -> Make:
    """Makes a project of a labeling configuration, with our backend, for as long as its context lasts."""

    def made(xml: str, extra_params: object = None) -> AbstractContextManager[Bench]:
        key = stage.ctx.access.api_key
        assert key is not None
        return project(stage.client, key, stage.ctx.backend_url, stage.ctx.backend_login, xml, extra_params)

    return made


@pytest.fixture(scope="module")
def bench(make: Make) -> Iterator[Bench]:
    """One project of brush masks for the tests of a module: each has a task of its own in it."""
    with make(config(BRUSH)) as one:
        yield one
