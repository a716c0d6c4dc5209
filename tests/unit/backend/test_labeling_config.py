from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from backend.errors import ImageError, LabelingConfigError
from backend.labelstudio.labeling_check import check
from backend.labelstudio.labeling_config import image_named, image_url, output_for, parse, parse_cached
from backend.labelstudio.options import OutputKind, read_options
from labeling.images import ImageTag
from tests.unit.backend.fakes import V1, V2

SHIPPED = sorted((Path(__file__).parents[3] / "labeling_configs").glob("*/v*.xml"))
GOLDEN = Path(__file__).parent / "golden"
SETUPS = json.loads((GOLDEN / "setup_messages.json").read_text(encoding="utf-8"))
IMAGE = '<Image name="image" value="$image"/>'


def tag(kind: str, name: str, *labels: str, to: str = "image", more: str = "") -> str:
    inside = "".join(f'<Label value="{label}"/>' for label in labels)
    return f'<{kind} name="{name}" toName="{to}" {more}>{inside}</{kind}>'


def view(*tags: str) -> str:
    return f"<View>{IMAGE}{''.join(tags)}</View>"


def chosen(xml: str, label: str | None, prompt: str, prefer: OutputKind | None = None) -> tuple[str, str, str | None]:
    output = output_for(parse(xml), "image", label, prompt, prefer)
    return output.kind, output.mask_tag.name, output.labels_tag and output.labels_tag.name  # type: ignore[return-value]


@pytest.mark.parametrize("xml", [V1, V2], ids=["v1", "v2"])
def test_both_styles_are_served(xml: str) -> None:
    check(parse(xml))


def test_there_are_shipped_configurations() -> None:
    assert len(SHIPPED) >= 2


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_shipped_configurations_are_served(path: Path) -> None:
    check(parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("setup", SETUPS, ids=lambda setup: setup["name"])
def test_setup_says_in_one_sentence_what_is_missing(setup: dict[str, Any]) -> None:
    with pytest.raises(LabelingConfigError) as caught:
        check(parse(setup["schema"]), read_options(setup["extra_params"]).output)
    assert str(caught.value) == setup["message"]
    assert "\n" not in setup["message"]


def test_parsed_once() -> None:
    assert parse_cached(V1) is parse_cached(V1)
    for _ in range(2):
        with pytest.raises(LabelingConfigError, match="not well-formed"):
            parse_cached("<View>")


@pytest.mark.parametrize("label", ["Boat", None])
@pytest.mark.parametrize("present", range(1, 16))
def test_the_first_kind_that_takes_the_label(present: int, label: str | None) -> None:
    """Of all mixtures of the four kinds, in any order in the XML."""
    kinds = ("Rectangle", "Polygon", "Bitmask", "Brush")
    there = [kind for bit, kind in enumerate(kinds) if present >> bit & 1]
    split = view(tag("Labels", "palette", "Boat"), *(tag(kind, kind) for kind in there))
    expected = there[-1]
    palette = None if label is None else "palette"
    for prompt in ("keypoint", "rectangle", "keypointlabels", "brush"):
        assert chosen(split, label, prompt) == (expected.lower(), expected, palette)
    fused = view(*(tag(f"{kind}Labels", kind, "Boat", more='allowEmpty="true"') for kind in there))
    for prompt in ("keypoint", "rectanglelabels", "brushlabels"):
        assert chosen(fused, label, prompt) == (expected.lower(), expected, None)


@pytest.mark.parametrize("prefer", ["brush", "bitmask", "polygon", "rectangle"])
def test_the_project_may_prefer_a_kind(prefer: OutputKind) -> None:
    kinds = ("Brush", "Bitmask", "Polygon", "Rectangle")
    xml = view(
        tag("KeyPointLabels", "point", "Boat", "Person"),
        tag("Labels", "palette", "Boat", "Person"),
        tag("Brush", "plain"),
        *(tag(f"{kind}Labels", kind.lower(), "Boat") for kind in kinds),
    )
    check(parse(xml), prefer)
    assert chosen(xml, "Boat", "keypointlabels", prefer) == (prefer, prefer, None)
    # Where the preferred tag does not take the label, the usual order counts.
    assert chosen(xml, "Person", "keypointlabels", prefer) == ("brush", "plain", "palette")


@pytest.mark.parametrize("kind", ["Brush", "Bitmask", "Polygon", "Rectangle"])
def test_output_follows_the_style_of_the_prompt(kind: str) -> None:
    xml = view(tag(f"{kind}Labels", "fused", "Boat"), tag("Labels", "palette", "Boat"), tag(kind, "split"))
    for prompt in ("keypointlabels", "rectanglelabels", "brushlabels", "ellipselabels"):
        assert chosen(xml, "Boat", prompt) == (kind.lower(), "fused", None)
    for prompt in ("keypoint", "rectangle", "brush", "labels"):
        assert chosen(xml, "Boat", prompt) == (kind.lower(), "split", "palette")


def test_prompting_rectangle_takes_no_answer() -> None:
    """Where a mask tag can take it, a rectangle that prompts does not."""
    xml = view(tag("RectangleLabels", "box", "Boat"), tag("Labels", "palette", "Boat"), tag("Brush", "mask"))
    assert chosen(xml, "Boat", "rectanglelabels") == ("brush", "mask", "palette")
    unlabelled = view(tag("Rectangle", "box"), tag("BrushLabels", "mask", "Boat"))
    with pytest.raises(LabelingConfigError, match="takes a mask without a label"):
        output_for(parse(unlabelled), "image", None, "rectangle")
    assert chosen(unlabelled, None, "rectangle", "rectangle") == ("rectangle", "box", None)


def test_output_is_found_by_label_and_image() -> None:
    config = parse(
        """<View><Image name="a" value="$a"/><Image name="b" value="$b"/>
        <BrushLabels name="a1" toName="a"><Label value="Cat"/></BrushLabels>
        <BrushLabels name="a2" toName="a"><Label value="Dog"/></BrushLabels>
        <BrushLabels name="b1" toName="b"><Label value="Dog"/></BrushLabels>
        <PolygonLabels name="ab" toName="a, b"><Label value="Fox"/></PolygonLabels></View>"""
    )
    assert output_for(config, "a", "Dog", "keypointlabels").mask_tag.name == "a2"
    assert output_for(config, "b", "Dog", "keypointlabels").mask_tag.name == "b1"
    assert {output_for(config, image, "Fox", "keypointlabels").mask_tag.name for image in "ab"} == {"ab"}
    with pytest.raises(LabelingConfigError, match=r"takes the label 'Cat' on image 'b': add it to <BrushLabels> 'b1'$"):
        output_for(config, "b", "Cat", "keypointlabels")


def test_several_split_brushes_and_palettes() -> None:
    xml = view(tag("Labels", "one", "Cat"), tag("Labels", "two", "Dog"), tag("Brush", "first"), tag("Brush", "second"))
    assert chosen(xml, "Dog", "keypoint") == ("brush", "first", "two")


def test_labels_of_the_task_are_not_checked() -> None:
    xml = V2.replace('<Labels name="label"', '<Labels name="label" value="$names"')
    check(parse(xml))
    assert chosen(xml, "Whatever", "keypoint") == ("brush", "brush", "label")


def test_the_alias_is_the_label_and_the_value_is_understood() -> None:
    xml = V1.replace('<Label value="Boat"/>', '<Label value="Boat" alias="boat"/>')
    check(parse(xml))
    assert parse(xml).controls[0].names == {"Person", "boat"}
    assert chosen(xml, "boat", "keypointlabels") == chosen(xml, "Boat", "keypointlabels") == ("brush", "brush", None)


def test_unlabelled_mask_needs_a_tag_that_can_hold_it() -> None:
    assert chosen(V2, None, "keypoint") == ("brush", "brush", None)
    with pytest.raises(LabelingConfigError, match="takes a mask without a label on image 'image'"):
        output_for(parse(V1), "image", None, "keypoint")
    allowed = V1.replace("<BrushLabels", '<BrushLabels allowEmpty="true"')
    assert chosen(allowed, None, "keypointlabels") == ("brush", "brush", None)


def test_prompts_and_brush_without_any_labels() -> None:
    xml = view(tag("KeyPoint", "point", more='smart="true"'), tag("Brush", "mask"))
    check(parse(xml))
    assert chosen(xml, None, "keypoint") == ("brush", "mask", None)


def test_case_nesting_comments_and_other_tags() -> None:
    xml = """<?xml version="1.0" encoding="utf-16"?>
    <!-- {"data": {"image": "x.png"}} --><VIEW><style>.a {color: red}</style><Header value="Hello &amp; welcome"/>
    <view><View><BRUSHLABELS NAME="mask" TONAME="image"><View><!-- red --><LABEL VALUE="Boat" Background="red"/></View>
    </BRUSHLABELS></View><keypointlabels name="point" toname="image" SMART="TRUE"><label value="Boat"/></keypointlabels>
    </view><Choices name="c" toName="image"><Choice value="Cat"/></Choices><Filter name="f" toName="point"/>
    <IMAGE Name="image" Value="$photo"/></VIEW>"""
    check(parse(xml))
    assert image_named(parse(xml), "image").value == "$photo"
    assert [control.kind for control in parse(xml).controls] == ["brushlabels", "keypointlabels"]
    assert chosen(xml, "Boat", "keypointlabels") == ("brush", "mask", None)


def test_a_missing_to_name_is_the_only_object() -> None:
    xml = V1.replace(' toName="image"', "")
    check(parse(xml))
    assert chosen(xml, "Boat", "keypointlabels") == ("brush", "brush", None)
    with_text = xml.replace("</View>", '<Text name="text" value="$text"/></View>')
    with pytest.raises(LabelingConfigError, match="has no smart prompt tag"):
        check(parse(with_text))


def test_a_missing_smart_is_true() -> None:
    check(parse(view(tag("KeyPointLabels", "point", "Boat"), tag("BrushLabels", "mask", "Boat"))))


def test_unknown_image_name() -> None:
    with pytest.raises(LabelingConfigError, match=re.escape("has no <Image> named 'other'")):
        image_named(parse(V1), "other")


def test_no_image_url() -> None:
    """What the reader finds missing is an error of the request."""
    with pytest.raises(ImageError, match=re.escape("holds no image URL under 'image' (it holds: a, b)")):
        image_url({"b": 1, "a": 2}, ImageTag("i", "$image"), None)
    assert image_url({"image": ["a.png", "b.png"]}, ImageTag("i", "$image"), 1) == "b.png"
