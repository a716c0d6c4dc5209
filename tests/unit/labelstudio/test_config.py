"""labeling_configs: what is shipped loads, and everything that can be wrong is said at once, with file and line."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from core.errors import SettingsError
from core.repository import REPOSITORY
from labeling.config import ControlTag, LabelingConfig
from labelstudio.config import load_labeling, load_project, load_projects
from labelstudio.wanted_tasks import wanted_tasks

LABELS = (
    "First-Responder",
    "Civilian",
    "Vegetation",
    "Road",
    "Dirt-Road",
    "Building",
    "Sky",
    "Civilian-Car",
    "Responder-Vehicle",
    "Debris",
    "Command-Post",
)
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


def shipped(version: int) -> LabelingConfig:
    return load_labeling(REPOSITORY / f"labeling_configs/rgbt-sar/v{version}.xml", f"v{version}.xml")


def test_the_shipped_project_uses_version_2() -> None:
    spec = load_project(REPOSITORY, "rgbt-sar")
    assert (spec.title, spec.config, spec.version, spec.images_filter) == ("RGBT-SAR", "rgbt-sar", 2, ".*png")
    assert spec.labeling == shipped(2)


def labels_of(tag: ControlTag) -> tuple[str, ...]:
    """The labels of one tag."""
    return tuple(label.name for label in tag.labels)


def test_version_1_is_the_guides_template() -> None:
    config = shipped(1)
    assert config.labels == LABELS
    assert config.palette is None
    names = [(one.tag, one.name) for one in (config.mask, config.point, config.box) if one is not None]
    assert names == [("BrushLabels", "brush"), ("KeyPointLabels", "kpts"), ("RectangleLabels", "rects")]
    assert all(labels_of(one) == LABELS for one in (config.mask, config.point, config.box) if one is not None)


def test_version_2_has_one_palette() -> None:
    config = shipped(2)
    assert config.palette is not None
    assert (config.palette.name, labels_of(config.palette)) == ("label", LABELS)
    names = [(one.tag, one.name, one.smart) for one in (config.mask, config.point, config.box) if one is not None]
    assert names == [("Brush", "brush", False), ("KeyPoint", "point", True), ("Rectangle", "box", True)]
    assert [(image.name, image.key) for image in config.images] == [("image", "image")]


@pytest.mark.parametrize("version", [1, 2])
def test_the_versions_agree_on_colours_and_hotkeys(version: int) -> None:
    text = shipped(version).text
    for line in (
        '<Label value="First-Responder" background="#E53935" hotkey="1"/>',
        '<Label value="Debris" background="#7CB342" hotkey="0"/>',
        '<Label value="Command-Post" background="#5E35B1" hotkey="q"/>',
    ):
        assert text.count(line) == (3 if version == 1 else 1)


def edited(*replacements: tuple[str, str]) -> str:
    text = GOOD
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    return text


ONE_PROBLEM = {
    "not closed": (
        edited(("</View>\n", "")),
        "c.xml:9: not well-formed XML: no element found",
    ),
    "wrong order": (
        edited(("  </Labels>", "  </Label>")),
        "c.xml:5: not well-formed XML: mismatched tag",
    ),
    "attribute twice": (
        edited(('value="Car"', 'value="Car" value="Bus"')),
        "c.xml:3: not well-formed XML: duplicate attribute",
    ),
    "empty": ("", "c.xml:1: not well-formed XML: no element found"),
    "doctype": (
        '<!DOCTYPE View [<!ENTITY a "b">]>\n' + GOOD,
        "c.xml:1: a DOCTYPE is not allowed here; delete it",
    ),
    "not a view": (
        edited(("<View>", "<Viewer>"), ("</View>", "</Viewer>")),
        "the labeling configuration cannot be used, 2 problems:\n"
        "  - c.xml:1: Label Studio 1.23.2 knows no tag <Viewer>\n"
        "  - c.xml:1: the outermost tag is <Viewer>; Label Studio needs <View>",
    ),
    "unknown tag": (
        edited(("<KeyPoint ", "<Keypoint ")),
        "c.xml:6: Label Studio 1.23.2 knows no tag <Keypoint>; did you mean <KeyPoint>?",
    ),
    "no target": (
        edited(('name="point" toName="image"', 'name="point" toName="picture"')),
        'c.xml:6: toName="picture": no tag has this name (there are: brush, image, label, point)',
    ),
    "no toName": (edited(('name="point" toName="image"', 'name="point"')), "c.xml:6: <KeyPoint> has no toName"),
    "no name": (edited(('<Brush name="brush"', "<Brush")), "c.xml:7: <Brush> has no name"),
    "name twice": (edited(('name="brush"', 'name="point"')), 'c.xml:7: name="point" was given in line 6 already'),
    "hotkey twice": (
        edited(('hotkey="2"', 'hotkey="1"')),
        'c.xml:4: hotkey="1" is used twice in <Labels name="label"> (first in line 3)',
    ),
    "label twice": (
        edited(('value="Road"', 'value="Car"')),
        'c.xml:4: value="Car" is used twice in <Labels name="label"> (first in line 3)',
    ),
    "label without value": (edited(('value="Road" ', "")), "c.xml:4: <Label> has no value"),
    "colour": (edited(("blue", "#12345")), 'c.xml:4: background="#12345" is not a colour; write it as #RRGGBB'),
    "no labels": (
        edited(
            ('    <Label value="Car" background="#E53935" hotkey="1"/>\n', ""),
            ('    <Label value="Road" background="blue" hotkey="2"/>\n', ""),
        ),
        'c.xml:2: <Labels name="label"> has no <Label>',
    ),
    "label outside": (
        edited(('value="$image"/>', 'value="$image"><Label value="x"/></Image>')),
        "c.xml:8: <Label> stands in <Image>; it belongs in a tag such as <Labels>",
    ),
    "no variable": (
        edited(("$image", "image")),
        'c.xml:8: <Image> needs a variable such as value="$image", not value="image"',
    ),
    "no image": (
        edited(('<Image name="image"', '<Header name="image"')),
        "c.xml:1: there are 0 <Image> tags; exactly one is needed",
    ),
    "not smart": (
        edited(('smart="true"', 'smart="false"')),
        'c.xml:8: the image "image" has no smart prompt; add <KeyPoint> or <Rectangle> with smart="true"',
    ),
    "no brush": (
        edited(('  <Brush name="brush" toName="image" smart="false"/>\n', "")),
        "c.xml:1: there are 0 brush tags; exactly one (<Brush> or <BrushLabels>) takes the masks",
    ),
    "label without mask": (
        edited(("<Brush ", '<BrushLabels '), ('smart="false"/>', '><Label value="Car"/></BrushLabels>')),
        'c.xml:2: label "Road" has no mask output: no brush, bitmask or polygon of the image "image" offers it',
    ),
    "label without prompt": (
        edited(
            ("<KeyPoint ", '<KeyPointLabels '), ('smart="true"/>', 'smart="true"><Label value="Car"/></KeyPointLabels>')
        ),
        'c.xml:2: label "Road" has no smart prompt: no smart key point or rectangle of the image "image" offers it',
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "message"), ONE_PROBLEM.values(), ids=ONE_PROBLEM)
def test_a_wrong_configuration_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "c.xml"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_labeling(path, "c.xml")
    assert str(caught.value) == message


def test_all_problems_of_a_configuration_are_said_at_once(tmp_path: Path) -> None:
    path = tmp_path / "c.xml"
    path.write_text(edited(('hotkey="2"', 'hotkey="1"'), ("blue", "bluish"), ("<Brush ", "<Bruhs ")))
    with pytest.raises(SettingsError) as caught:
        load_labeling(path, "c.xml")
    assert str(caught.value) == (
        "the labeling configuration cannot be used, 3 problems:\n"
        '  - c.xml:4: background="bluish" is not a colour; write it as #RRGGBB\n'
        '  - c.xml:4: hotkey="1" is used twice in <Labels name="label"> (first in line 3)\n'
        "  - c.xml:7: Label Studio 1.23.2 knows no tag <Bruhs>"
    )


def test_the_same_hotkeys_in_different_palettes_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "c.xml"
    palette = '<{0}Labels name="{0}" toName="image"><Label value="Car" hotkey="1"/></{0}Labels>'
    tags = "".join(palette.format(tag) for tag in ("Brush", "KeyPoint", "Rectangle"))
    path.write_text(f'<View>{tags}<Image name="image" value="$image"/></View>')
    assert load_labeling(path, "c.xml").labels == ("Car",)


def test_what_a_click_cannot_prove_can_still_be_a_project() -> None:
    """The other configurations that are shipped: pairs, polygons, boxes."""
    for config in ("boxes-to-masks", "minimal", "polygon"):
        path = REPOSITORY / "labeling_configs" / config / "v1.xml"
        assert load_labeling(path, config, provable=False).images[0].key == "image"


def test_no_tasks_of_an_image_made_of_a_text(tmp_path: Path) -> None:
    """Such a project can be read, exported and counted; its tasks come from elsewhere."""
    folder = tmp_path / "labeling_configs" / "files"
    folder.mkdir(parents=True)
    (folder / "v1.xml").write_text(edited(("$image", "/data/local-files/?d=demo/$file")))
    path = folder.parent / "projects.yaml"
    path.write_text("projects:\n  files:\n    title: Files\n    config: files\n    version: 1\n")
    (spec,) = load_projects(tmp_path)
    with pytest.raises(SettingsError, match=r"^Files: its image is value=.*, of which labelrig cannot make tasks"):
        wanted_tasks(spec, ["a.png"])


def test_no_tasks_of_repeated_images(tmp_path: Path) -> None:
    """They would hold a key such as `pages[{{idx}}].url`, which nothing shows."""
    folder = tmp_path / "labeling_configs" / "pages"
    folder.mkdir(parents=True)
    repeated = edited(
        ("<View>", '<View><Repeater on="$pages">'), ("</View>", "</Repeater></View>"), ("$image", "$pages[{{idx}}].url")
    )
    (folder / "v1.xml").write_text(re.sub(r'((?:name|toName)="\w+)"', r'\1_{{idx}}"', repeated))
    (folder.parent / "projects.yaml").write_text(
        "projects:\n  pages:\n    title: Pages\n    config: pages\n    version: 1\n"
    )
    (spec,) = load_projects(tmp_path)
    with pytest.raises(SettingsError, match=r"^Pages: its images are repeated for each entry of \$pages"):
        wanted_tasks(spec, ["a.png"])
    with pytest.raises(SettingsError, match=r"v1.xml:\d+: what <Repeater> repeats is not one image"):
        load_project(tmp_path)


def test_a_configuration_with_two_images_needs_pairs(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "labeling_configs", tmp_path / "labeling_configs")
    path = tmp_path / "labeling_configs" / "projects.yaml"
    text = "projects:\n  pair:\n    title: Pairs\n    config: rgbt-pair\n    version: 1\n"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_projects(tmp_path)
    assert str(caught.value) == (
        "labeling_configs/projects.yaml: projects.pair.images: labeling_configs/rgbt-pair/v1.xml shows rgb, thermal; "
        "say with `pairs` which files belong together"
    )
    path.write_text(f"{text}    images: {{pairs: {{rgb: 'RGB/{{name}}.png', thermal: 'T/{{name}}.png'}}}}\n")
    (spec,) = load_projects(tmp_path)
    assert wanted_tasks(spec, ["RGB/a.png", "T/a.png"]).tasks == {
        "RGB/a.png": {"rgb": "RGB/a.png", "thermal": "T/a.png"}
    }
    with pytest.raises(SettingsError, match="there are 2 <Image> tags; exactly one is needed"):
        load_project(tmp_path, "pair")
