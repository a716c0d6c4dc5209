"""What a `<Repeater>` makes of a task's data: the tags that the editor shows."""

from __future__ import annotations

from typing import Any

import pytest

from labeling.config import read_config
from labeling.images import task_images
from labeling.tags import XmlProblem

PAGES = (
    '<View><Image name="first" value="$cover"/><Repeater on="$scene.pages" indexFlag="#">'
    '<Image name="page_#" value="$scene.pages[#].url"/>'
    '<BrushLabels name="brush_#" toName="page_#"><Label value="Car #"/></BrushLabels></Repeater></View>'
)
DATA: dict[str, Any] = {"cover": "/c.png", "scene": {"pages": [{"url": "/a.png"}, {"url": "/b.png"}]}}


def test_tags_stand_once_for_each_entry() -> None:
    config = read_config(PAGES).for_data(DATA)
    assert [(one.name, one.url, one.item_index) for one in task_images(config.images, DATA)] == [
        ("first", "/c.png", None),
        ("page_0", "/a.png", None),
        ("page_1", "/b.png", None),
    ]
    assert [(one.name, one.to_names, one.labels[0].value) for one in config.controls] == [
        ("brush_0", ("page_0",), "Car 0"),
        ("brush_1", ("page_1",), "Car 1"),
    ]
    assert config.text == PAGES


@pytest.mark.parametrize("pages", [None, [], "/a.png", {"0": "/a.png"}])
def test_what_is_no_list_repeats_nothing(pages: object) -> None:
    config = read_config(PAGES).for_data({"cover": "/c.png", "scene": {"pages": pages}})
    assert [one.name for one in config.images] == ["first"]


def test_repeaters_in_each_other_count_their_own() -> None:
    inner = '<Repeater on="$sets[{{a}}]" indexFlag="{{b}}"><Image name="i_{{a}}_{{b}}" value="$x"/></Repeater>'
    text = f'<View><Repeater on="$sets" indexFlag="{{{{a}}}}">{inner}</Repeater></View>'
    config = read_config(text).for_data({"sets": [["x", "y"], ["z"]]})
    assert [one.name for one in config.images] == ["i_0_0", "i_0_1", "i_1_0"]


def test_other_configurations_are_as_they_are() -> None:
    config = read_config('<View><Image name="i" value="$x"/></View>')
    assert config.for_data({"x": "/a.png"}) is config


def test_endless_lists_are_refused() -> None:
    config = read_config(PAGES)
    with pytest.raises(XmlProblem, match=r"^line 1: the task's data repeat these tags to more than 20000$"):
        config.for_data({"scene": {"pages": [0] * 10_000}})
