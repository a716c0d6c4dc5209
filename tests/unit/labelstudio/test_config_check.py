"""config.check: every problem of a configuration at once with its line, and the shipped ones are good."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from backend.labelstudio.labeling_check import check
from backend.labelstudio.labeling_config import parse
from core.errors import SettingsError
from core.repository import REPOSITORY
from dataset.export.labeling import read_labeling
from labelstudio.config_check import check_configs, check_text, difference
from labelstudio.labeling_checks import known_tags, problems_in
from labelstudio.versions import publish, read_versions, sha256_of

SHIPPED = sorted((REPOSITORY / "labeling_configs").glob("*/v*.xml"))
GOOD = """<View>
  <Labels name="label" toName="image">
    <Label value="Car" background="#E53935" hotkey="1"/>
    <Label value="Road" background="blue" hotkey="2"/>
  </Labels>
  <KeyPoint name="point" toName="image" smart="true"/>
  <Brush name="brush" toName="image" smart="false"/>
  <Image name="image" value="$image"/>
</View>
"""
PAIR = (REPOSITORY / "labeling_configs" / "rgbt-pair" / "v1.xml").read_text(encoding="utf-8")


def edited(*pairs: tuple[str, str], text: str = GOOD) -> str:
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    return text


def key_points(labels: str) -> str:
    """With labels of their own for the key points."""
    return edited(("<KeyPoint ", "<KeyPointLabels "), ('smart="true"/>', f">{labels}</KeyPointLabels>"))


@pytest.mark.parametrize("path", SHIPPED, ids=[f"{one.parent.name}-{one.stem}" for one in SHIPPED])
def test_a_shipped_configuration_is_good_for_everybody(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert check_text(text) == []
    check(parse(text))  # what the backend says when Label Studio connects it
    labeling = read_labeling(text, path.name)
    assert all(labeling.draws_masks(image.name) for image in labeling.images)


def test_all_shipped_configurations_are_checked_at_once() -> None:
    checked = check_configs(REPOSITORY)
    assert len(checked.files) == len(SHIPPED) >= 6
    assert checked.sentence().startswith(
        f"{len(SHIPPED)} configurations checked, nothing wrong: labeling_configs/boxes-to-masks/v1.xml"
    )


def test_a_published_version_is_never_changed() -> None:
    """To change a configuration, copy it to the next version. This test compares every file with versions.lock."""
    folder = REPOSITORY / "labeling_configs"
    published = read_versions(folder / "versions.lock")
    assert {f"{path.parent.name}/{path.name}": sha256_of(path) for path in SHIPPED} == published


PROBLEMS = {
    "not xml": ("<View>\n<Brush</View>", [(2, "not well-formed XML: not well-formed (invalid token)")]),
    "tag": (edited(("<Brush ", "<brush ")), [(7, "Label Studio 1.23.2 knows no tag <brush>; did you mean <Brush>?")]),
    "no image": (
        edited(('<Image name="image" value="$image"/>', '<Text name="image" value="$image"/>')),
        [(1, 'there is no <Image>; add <Image name="image" value="$image"/>')],
    ),
    "no variable": (
        edited(("$image", "image")),
        [(8, '<Image> needs a variable such as value="$image", not value="image"')],
    ),
    "list without variable": (
        edited(('value="$image"', 'valueList="images"')),
        [(8, '<Image> needs a variable such as value="$image", not valueList="images"')],
    ),
    "no output": (
        edited(('  <Brush name="brush" toName="image" smart="false"/>\n', "")),
        [(7, 'nothing takes the masks of the image "image"; add <Brush>, <Bitmask> or <Polygon>')],
    ),
    "no prompt": (
        edited(('smart="true"', 'smart="false"')),
        [(8, 'the image "image" has no smart prompt; add <KeyPoint> or <Rectangle> with smart="true"')],
    ),
    "no labels": (
        GOOD.replace('<Labels name="label" toName="image">', "").replace("</Labels>", "").replace("<Label ", "<Header ")
        .replace(' background="#E53935" hotkey="1"', "").replace(' background="blue" hotkey="2"', ""),
        [(8, 'the image "image" has no labels')],
    ),
    "label without mask": (
        edited(("<Brush ", "<BrushLabels "), ('smart="false"/>', '><Label value="Car"/></BrushLabels>')),
        [(2, 'label "Road" has no mask output: no brush, bitmask or polygon of the image "image" offers it')],
    ),
    "label without prompt": (
        key_points('<Label value="Car"/>'),
        [(2, 'label "Road" has no smart prompt: no smart key point or rectangle of the image "image" offers it')],
    ),
    "alike": (
        edited(("blue", "#E43A36")),
        [(4, 'background="#E43A36" is hardly different from that of "Car" (#E53935, line 3)')],
    ),
    "two colours": (
        key_points('<Label value="Car" background="red"/><Label value="Road"/>'),
        [(6, 'label "Car" is red here and #E53935 in line 3')],
    ),
    "key of two meanings": (
        key_points('<Label value="Car" hotkey="2"/><Label value="Road"/>'),
        [(6, 'hotkey="2" means "Road" in the palette in line 2, and "Car" here')],
    ),
    "key of two images": (
        edited(("shift+1", "1"), text=PAIR),
        [(35, 'hotkey="1" selects a label for another image too (palette in line 13)')],
    ),
    "one image without tools": (
        edited(('toName="thermal" smart="true"', 'toName="thermal" smart="false"'), text=PAIR),
        [(50, 'the image "thermal" has no smart prompt; add <KeyPoint> or <Rectangle> with smart="true"')],
    ),
    "several": (
        edited(('hotkey="2"', 'hotkey="1"'), ("blue", "bluish"), ("<Brush ", "<Bruhs ")),
        [
            (4, 'background="bluish" is not a colour; write it as #RRGGBB'),
            (4, 'hotkey="1" is used twice in <Labels name="label"> (first in line 3)'),
            (7, "Label Studio 1.23.2 knows no tag <Bruhs>"),
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "problems"), PROBLEMS.values(), ids=PROBLEMS)
def test_problems_are_found_with_their_lines(text: str, problems: list[tuple[int, str]]) -> None:
    assert check_text(text) == problems


def test_image_variables_must_be_in_the_data() -> None:
    assert check_text(PAIR, {"rgb", "thermal"}) == []
    assert check_text(PAIR, {"rgb", "image"}) == [
        (50, 'value="$thermal": the tasks have no thermal (they have: image, rgb)')
    ]
    nested = edited(("$image", "$photos[0].url"))
    assert check_text(nested, {"photos"}) == []


def test_image_made_of_a_text() -> None:
    """A URL with references in it is what Label Studio's editor resolves too."""
    text = edited(("$image", "/data/local-files/?d=$folder/$file"))
    assert check_text(text) == []
    assert check_text(text, {"file", "folder"}) == []
    assert check_text(text, {"file"}) == [
        (8, 'value="/data/local-files/?d=$folder/$file": the tasks have no folder (they have: file)')
    ]
    assert problems_in(text) == [
        (
            8,
            '<Image> needs a variable such as value="$image", not value="/data/local-files/?d=$folder/$file"',
        )
    ]


def test_alias_of_a_label_counts() -> None:
    """Results carry the alias, so the tools must agree on it, and not on what the editor shows."""
    aliased = key_points('<Label value="Auto" alias="Car"/><Label value="Road"/>')
    assert check_text(aliased) == []
    differing = key_points('<Label value="Car" alias="auto"/><Label value="Road"/>')
    assert [what for _, what in check_text(differing)] == [
        'label "Car" has no smart prompt: no smart key point or rectangle of the image "image" offers it',
        'label "auto" has no mask output: no brush, bitmask or polygon of the image "image" offers it',
    ]


def test_what_is_wrong_with_a_repeater_is_said() -> None:
    repeated = edited(("<View>", '<View><Repeater on="pages">'), ("</View>", "</Repeater></View>"))
    found = [what for _, what in check_text(repeated)]
    assert '<Repeater> needs a list such as on="$pages", not on="pages"' in found
    assert 'name="image" would be given for each entry; put {{idx}} into it' in found


def test_repeater_is_a_known_tag() -> None:
    repeated = edited(("<View>", '<View><Repeater on="$pages" indexFlag="{{idx}}">'), ("</View>", "</Repeater></View>"))
    assert check_text(re.sub(r'((?:name|toName)="\w+)"', r'\1_{{idx}}"', repeated)) == []


def test_boxes_are_an_output_where_there_is_no_other() -> None:
    boxes = edited(
        ('<KeyPoint name="point"', '<Rectangle name="point"'),
        ('  <Brush name="brush" toName="image" smart="false"/>\n', ""),
    )
    assert check_text(boxes) == []
    check(parse(boxes))


def test_several_files_are_checked_at_once(tmp_path: Path) -> None:
    for name, text in (("a", edited(("blue", "bluish"))), ("b", edited(("$image", "image")))):
        path = tmp_path / "labeling_configs" / name / "v1.xml"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        check_configs(tmp_path)
    assert str(caught.value) == (
        "the labeling configurations have 2 problems:\n"
        '  - labeling_configs/a/v1.xml:4: background="bluish" is not a colour; write it as #RRGGBB\n'
        '  - labeling_configs/b/v1.xml:8: <Image> needs a variable such as value="$image", not value="image"'
    )
    with pytest.raises(SettingsError, match="1 problem"):
        check_configs(tmp_path, tmp_path / "labeling_configs" / "a")


def test_any_file_can_be_checked(tmp_path: Path) -> None:
    (tmp_path / "mine.xml").write_text(GOOD)
    assert check_configs(REPOSITORY, tmp_path / "mine.xml").files == (str(tmp_path / "mine.xml"),)
    (tmp_path / "mine.xml").write_bytes(GOOD.encode("utf-16"))  # PowerShell
    assert check_configs(REPOSITORY, tmp_path / "mine.xml").problems == ()
    (tmp_path / "mine.xml").write_bytes((GOOD + "<!-- señal -->").encode("latin-1"))
    with pytest.raises(
        SettingsError, match=rf"mine\.xml:{GOOD.count(chr(10)) + 1}: is not UTF-8 text; save the file as"
    ):
        check_configs(REPOSITORY, tmp_path / "mine.xml")
    with pytest.raises(SettingsError, match="there is no such file"):
        check_configs(REPOSITORY, tmp_path / "nobodys.xml")
    with pytest.raises(SettingsError, match=r"there is no v<N>\.xml in it"):
        check_configs(REPOSITORY, tmp_path)


def test_a_changed_version_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "labeling_configs"
    path = folder / "cars" / "v1.xml"
    path.parent.mkdir(parents=True)
    path.write_text(GOOD)
    assert publish(folder, "cars", 1)
    assert not publish(folder, "cars", 1)
    assert check_configs(tmp_path).files == ("labeling_configs/cars/v1.xml",)
    (folder / "cars" / "v10.xml").write_text(GOOD)
    path.write_text(edited(("blue", "green")))
    with pytest.raises(SettingsError) as caught:
        check_configs(tmp_path)
    assert "labeling_configs/cars/v1.xml:1: was changed after it was published (versions.lock)" in str(caught.value)
    assert str(caught.value).endswith("put the change into v11.xml")
    with pytest.raises(SettingsError, match="was changed after it was published"):
        publish(folder, "cars", 1)


def test_versions_are_in_the_form_of_sha256sum_and_in_order(tmp_path: Path) -> None:
    folder = tmp_path / "labeling_configs"
    (folder / "cars").mkdir(parents=True)
    for version in (10, 2):
        (folder / "cars" / f"v{version}.xml").write_text(GOOD)
        publish(folder, "cars", version)
    names = [line.split("  ")[1] for line in (folder / "versions.lock").read_text().splitlines()]
    assert names == ["cars/v2.xml", "cars/v10.xml"]
    (folder / "versions.lock").write_text("who knows\n")
    with pytest.raises(SettingsError, match=r"versions\.lock:1: is no line of sha256sum"):
        read_versions(folder / "versions.lock")


def test_the_colour_difference_is_that_of_cie_1976() -> None:
    assert difference("black", "white") == pytest.approx(100, abs=0.01)
    assert difference("red", "#ff0000") == 0
    assert difference("#ff0000", "#00ff00") == pytest.approx(170.57, abs=0.05)


def test_every_known_tag_says_where_it_is_registered() -> None:
    content = yaml.safe_load((REPOSITORY / "labelstudio" / "editor_tags.yaml").read_text(encoding="utf-8"))
    pinned = (REPOSITORY / "requirements" / "label-studio.in").read_text(encoding="utf-8")
    assert f"label-studio=={content['label_studio']}" in pinned
    assert known_tags() == set(content["tags"]) | {"Repeater"}
    assert {"View", "Image", "Label", "Labels", "BrushLabels", "KeyPoint", "Style"} <= known_tags()
