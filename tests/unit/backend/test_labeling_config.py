from __future__ import annotations

import re
from pathlib import Path

import pytest

from backend import labeling_config
from backend.errors import LabelingConfigError
from tests.unit.backend.fakes import V1, V2

SHIPPED = sorted((Path(__file__).parents[3] / "labeling_configs").glob("*/v*.xml"))


def refused(xml: str) -> str:
    with pytest.raises(LabelingConfigError) as caught:
        labeling_config.check(labeling_config.parse(xml))
    return str(caught.value)


@pytest.mark.parametrize("xml", [V1, V2], ids=["v1", "v2"])
def test_both_styles_are_served(xml: str) -> None:
    labeling_config.check(labeling_config.parse(xml))


def test_there_are_shipped_configurations() -> None:
    assert len(SHIPPED) >= 2


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_shipped_configurations_are_served(path: Path) -> None:
    labeling_config.check(labeling_config.parse(path.read_text(encoding="utf-8")))


def test_image_key() -> None:
    assert labeling_config.parse('<View><IMAGE Name="i" Value="$photo"/></View>').image("i").key == "photo"


def test_output_follows_the_style_of_the_prompt() -> None:
    both = V1.replace("</View>", "") + V2.replace("<View>", "").replace('name="brush"', 'name="plain"')
    config = labeling_config.parse(both)
    assert config.output_for("image", "Boat", "keypointlabels").mask_tag.name == "brush"
    split = config.output_for("image", "Boat", "keypoint")
    assert (split.mask_tag.name, split.labels_tag and split.labels_tag.name) == ("plain", "label")


def test_output_is_found_by_label_and_image() -> None:
    config = labeling_config.parse(
        """<View><Image name="a" value="$a"/><Image name="b" value="$b"/>
        <BrushLabels name="a1" toName="a"><Label value="Cat"/></BrushLabels>
        <BrushLabels name="a2" toName="a"><Label value="Dog"/></BrushLabels>
        <BrushLabels name="b1" toName="b"><Label value="Dog"/></BrushLabels></View>"""
    )
    assert config.output_for("a", "Dog", "keypointlabels").mask_tag.name == "a2"
    assert config.output_for("b", "Dog", "keypointlabels").mask_tag.name == "b1"
    with pytest.raises(LabelingConfigError, match="takes the label 'Cat' on image 'b'"):
        config.output_for("b", "Cat", "keypointlabels")


def test_labels_of_the_task_are_not_checked() -> None:
    xml = V2.replace('<Labels name="label"', '<Labels name="label" value="$names"')
    config = labeling_config.parse(xml)
    labeling_config.check(config)
    assert config.output_for("image", "Whatever", "keypoint").mask_tag.name == "brush"


def test_alias_is_the_label() -> None:
    xml = V1.replace('<Label value="Boat"/>', '<Label value="Boat" alias="boat"/>')
    config = labeling_config.parse(xml)
    labeling_config.check(config)
    assert config.output_for("image", "boat", "keypointlabels").mask_tag.name == "brush"


def test_unlabelled_mask_needs_a_brush() -> None:
    assert labeling_config.parse(V2).output_for("image", None, "keypoint").labels_tag is None
    with pytest.raises(LabelingConfigError, match="takes a mask without a label on image 'image'"):
        labeling_config.parse(V1).output_for("image", None, "keypoint")


SMART = '<KeyPoint name="k" toName="i" smart="true"/>'
IMAGE = '<Image name="i" value="$image"/>'
REFUSED = {
    "no image": (
        "<View/>",
        'the labeling configuration has no <Image> tag: add <Image name="image" value="$image"/>',
    ),
    "no value": (
        '<View><Image name="i"/></View>',
        "the <Image> named 'i' has no value: write where a task holds the image's URL, for example value=\"$image\"",
    ),
    "no smart tag": (
        f'<View>{IMAGE}<KeyPoint name="k" toName="i" smart="false"/></View>',
        "the labeling configuration has no smart prompt tag: add <KeyPoint> or <Rectangle> (or <KeyPointLabels>, "
        '<RectangleLabels>) with smart="true" and the toName of an <Image>',
    ),
    "prompt of another object": (
        f'<View>{IMAGE}<KeyPoint name="k" toName="text" smart="true"/></View>',
        "the labeling configuration has no smart prompt tag: ",
    ),
    "no output": (
        f"<View>{IMAGE}{SMART}</View>",
        "the labeling configuration has no output tag for image 'i': add <BrushLabels>, or a <Brush> beside a <Labels>",
    ),
    "brush without labels": (
        f'<View>{IMAGE}{SMART}<Brush name="b" toName="i"/></View>',
        "the labeling configuration has no output tag for image 'i': ",
    ),
    "label without output": (
        f'<View>{IMAGE}<KeyPointLabels name="k" toName="i"><Label value="Cat"/></KeyPointLabels>'
        '<BrushLabels name="b" toName="i"><Label value="Dog"/></BrushLabels></View>',
        "no output tag of the labeling configuration takes the label 'Cat' on image 'i': ",
    ),
    "not XML": ("<View>", "the labeling configuration is not well-formed XML: "),
    "empty": ("", "the labeling configuration is not well-formed XML: "),
    "entities": (
        '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><View>&b;</View>',
        "the labeling configuration declares a DTD or entities, which are refused; remove them",
    ),
    "external entity": (
        '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><View>&a;</View>',
        "the labeling configuration declares a DTD or entities, which are refused; remove them",
    ),
}


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_refused_with_one_sentence(case: str) -> None:
    xml, message = REFUSED[case]
    assert refused(xml).startswith(message)
    assert "\n" not in refused(xml)


def test_unknown_image_name() -> None:
    with pytest.raises(LabelingConfigError, match=re.escape("has no <Image> named 'other'")):
        labeling_config.parse(V1).image("other")
