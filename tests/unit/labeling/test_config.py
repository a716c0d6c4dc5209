"""The reader of labeling configurations: tags, labels with their aliases, what works on what; hostile XML."""

from __future__ import annotations

import pytest

from labeling.config import ControlTag, Label, LabelingConfig, Repeater, read_config
from labeling.tags import XmlProblem, parse_xml

PAIR = """<View>
  <Image name="rgb" value="$rgb"/>
  <Image name="thermal" valueList="$thermal" value="$ignored"/>
  <Labels name="label" toName="rgb, thermal">
    <Label value="Vehicle" alias="veh" background="red"/>
    <View><Label value="Road" background="blue"/></View>
  </Labels>
  <KeyPoint name="point" toName="rgb" smart="true"/>
  <Rectangle name="box" toName="rgb" smart="false"/>
  <Brush name="brush" toName="rgb"/>
  <RectangleLabels name="boxes" toName="thermal" value="$names"><Label value="Road"/></RectangleLabels>
  <Choices name="light" toName="rgb"><Choice value="day"/></Choices>
</View>"""


def control(config: LabelingConfig, name: str) -> ControlTag:
    tag = config.control(name)
    assert tag is not None
    return tag


def test_tags_and_lines() -> None:
    config = read_config(PAIR)
    assert [(one.name, one.value, one.is_list, one.line) for one in config.images] == [
        ("rgb", "$rgb", False, 2),
        ("thermal", "$thermal", True, 3),
    ]
    assert [(one.tag, one.kind, one.shape, one.line) for one in config.controls] == [
        ("Labels", "labels", "", 4),
        ("KeyPoint", "keypoint", "keypoint", 8),
        ("Rectangle", "rectangle", "rectangle", 9),
        ("Brush", "brush", "brush", 10),
        ("RectangleLabels", "rectanglelabels", "rectangle", 11),
    ]
    assert [(one.kind, one.name) for one in config.others] == [("choices", "light")]
    assert (config.draws_masks("rgb"), config.draws_masks("thermal")) == (True, False)
    assert [one.name for one in config.on("thermal")] == ["label", "boxes"]


def test_smart_tools_and_palette() -> None:
    config = read_config(PAIR)
    named = [tag and tag.name for tag in (config.palette, config.point, config.box, config.mask)]
    assert named == ["label", "point", "boxes", "brush"]  # the first rectangle is not smart; the second says nothing


def test_label_is_that_of_the_innermost_palette() -> None:
    config = read_config(
        '<View><Image name="i" value="$i"/><Labels name="outer"><Label value="a"/><View><Labels name="inner"><View>'
        '<Label value="b"/></View></Labels></View><Label value="c"/></Labels><Label value="of none"/></View>'
    )
    assert [label.value for label in control(config, "outer").labels] == ["a", "c"]
    assert [label.value for label in control(config, "inner").labels] == ["b"]


def test_results_carry_the_alias() -> None:
    config = read_config(PAIR)
    palette = control(config, "label")
    assert palette.labels[0] == Label("Vehicle", "veh", "red")
    assert (set(palette.names), set(palette.values)) == ({"veh", "Road"}, {"Vehicle", "Road"})
    assert (palette.offers("veh"), palette.offers("Vehicle"), palette.finds("Vehicle")) == (True, False, True)
    assert not palette.finds("Sky")
    assert config.labels == ("veh", "Road")
    assert config.colours == {"veh": "red", "Road": "blue"}


def test_labels_of_the_task() -> None:
    boxes = control(read_config(PAIR), "boxes")
    assert boxes.is_dynamic
    assert boxes.offers("whatever")


def test_tag_without_labels_offers_none() -> None:
    config = read_config(PAIR.replace(' value="$names"><Label value="Road"/>', ">"))
    for name in ("brush", "boxes"):
        assert not control(config, name).offers("Road")


def test_case_does_not_matter() -> None:
    config = read_config('<VIEW><IMAGE Name="i" Value="$x"/><brushLABELS NAME="b" TONAME="i" SMART="False"/></VIEW>')
    (tag,) = config.controls
    assert (config.images[0].value, tag.kind, tag.name, tag.to_names, tag.smart) == (
        "$x",
        "brushlabels",
        "b",
        ("i",),
        False,
    )


@pytest.mark.parametrize(("more", "to_names"), [("", ("i",)), ('<Text name="t" value="$t"/>', ())])
def test_missing_to_name_is_the_only_object(more: str, to_names: tuple[str, ...]) -> None:
    config = read_config(f'<View><Image name="i" value="$x"/><Brush name="b"/>{more}</View>')
    assert config.controls[0].to_names == to_names


def test_repeater_is_known() -> None:
    text = (
        '<View><Repeater on="$pages" indexFlag="{{idx}}">\n<Image name="page_{{idx}}" value="$pages[{{idx}}].url"/>'
        '<BrushLabels name="brush_{{idx}}" toName="page_{{idx}}"><Label value="Car"/></BrushLabels></Repeater></View>'
    )
    config = read_config(text)
    assert config.repeaters == (Repeater("$pages", "{{idx}}"),)
    assert (set(config.images[0].fields), config.controls[0].to_names) == ({"pages"}, ("page_{{idx}}",))


def test_declared_encoding_is_ignored() -> None:
    assert parse_xml('<?xml version="1.0" encoding="utf-16"?><View a="ñ"/>').get("A") == "ñ"


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        ("<View>" * 50_000, "more than 100 tags inside each other or 20000 in all"),
        ("<View>" + "<A/>" * 20_001 + "</View>", "more than 100 tags inside each other or 20000 in all"),
        (f"<View>{' ' * 1_000_000}</View>", "longer than 1000000 characters"),
        ("<View>\ud800</View>", "not well-formed XML"),
        ("<View>\0</View>", "not well-formed XML"),
        ('<?xml version="1.0"?><!DOCTYPE View><View/>', "a DOCTYPE is not allowed here; delete it"),
    ],
    ids=["deep", "many", "long", "no character", "null", "DTD"],
)
def test_hostile_xml_is_refused(xml: str, message: str) -> None:
    with pytest.raises(XmlProblem, match=message):
        parse_xml(xml)
