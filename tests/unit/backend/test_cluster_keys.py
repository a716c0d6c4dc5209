"""Which requests go to one replica."""

from __future__ import annotations

import json
from typing import Any

import pytest

from backend.cluster.keys import BUCKETS, Keys
from backend.labelstudio.protocol import PredictRequest
from backend.sources.locations import Locator
from tests.unit.backend.fakes import V1, V2, click, region

LABEL_STUDIO = "http://label-studio:8080"
KEYS = Keys(Locator(LABEL_STUDIO, "https://lab.org"))
PAIR = """<View>
  <Image name="rgb" value="$rgb"/><Image name="thermal" value="$thermal"/>
  <BrushLabels name="brush" toName="rgb"><Label value="Person"/></BrushLabels>
  <KeyPointLabels name="point" toName="rgb" smart="true"><Label value="Person"/></KeyPointLabels>
</View>"""


def request(body: Any) -> PredictRequest:
    return PredictRequest.model_validate_json(json.dumps(body))


def image(name: str) -> str:
    return f"/data/local-files/?d={name}"


@pytest.mark.parametrize("config", [V1, V2])
def test_all_clicks_of_an_image_have_its_key(config: str) -> None:
    kind = "keypointlabels" if config == V1 else "keypoint"
    clicks = [click(region(kind, x, 50), config=config, image="set/a.png") for x in (1, 50, 99)]
    assert {KEYS.of_click(request(one)) for one in clicks} == {KEYS.of_image(image("set/a.png"))}


@pytest.mark.parametrize(
    "other",
    [
        image("set/../set/a.png"),
        f"{LABEL_STUDIO}{image('set/a.png')}",
        f"https://lab.org{image('set/a.png')}",
        image("set%2Fa.png"),
    ],
)
def test_spellings_of_an_image_have_one_key(other: str) -> None:
    assert KEYS.of_image(other) == KEYS.of_image(image("set/a.png"))


def test_images_are_spread() -> None:
    keys = {KEYS.of_image(image(f"set/{number}.png")) for number in range(10_000)}
    assert BUCKETS * 0.99 < len(keys) <= BUCKETS


def test_each_image_of_a_pair_has_a_key_of_its_own() -> None:
    body: Any = click(region("keypointlabels", 5, 5), config=PAIR)
    body["tasks"][0]["data"] = {"rgb": image("rgb/1.png"), "thermal": image("thermal/1.png")}
    body["params"]["context"]["result"][0]["to_name"] = "thermal"
    assert KEYS.of_task(request(body)) == {
        "rgb": KEYS.of_image(image("rgb/1.png")),
        "thermal": KEYS.of_image(image("thermal/1.png")),
    }
    assert KEYS.of_click(request(body)) == KEYS.of_image(image("thermal/1.png"))
    assert KEYS.of_image(image("rgb/1.png")) != KEYS.of_image(image("thermal/1.png"))


def test_what_cannot_be_read_has_a_key_too() -> None:
    """The replica says what is wrong with it."""
    body: Any = click(region("keypointlabels", 5, 5))
    ways: list[dict[str, Any]] = [{"label_config": "<View>"}, {"tasks": []}, {"tasks": [{"id": 1, "data": {}}]}]
    for broken in ways:
        assert KEYS.of_click(request({**body, **broken})).startswith("images-")
    assert KEYS.of_image("s3://bucket/a.png", None) == KEYS.of_image("s3://bucket/a.png", None)


def test_all_steps_of_a_run_have_one_key() -> None:
    """They are on many images, and share the model's memory."""
    keys = set()
    for number in range(8):
        body: Any = click(region("keypointlabels", 5, 5), image=f"set/{number}.png")
        body["params"]["context"] |= {"ask": "follow", "follow": {"run": "a" * 16, "step": "into"}}
        keys.add(KEYS.of_click(request(body)))
    assert len(keys) == 1
