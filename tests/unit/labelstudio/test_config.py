"""labeling_configs: what is shipped loads, and everything that can be wrong is said at once, with file and line."""

from __future__ import annotations

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
YAML = """projects:
  one:
    title: One project
    config: one
    version: 1
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "labeling_configs" / "one").mkdir(parents=True)
    (tmp_path / "labeling_configs" / "one" / "v1.xml").write_text(GOOD)
    (tmp_path / "labeling_configs" / "projects.yaml").write_text(YAML)
    return tmp_path


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


def test_a_project_is_read_with_its_configuration(repository: Path) -> None:
    spec = load_project(repository, "one")
    assert (spec.title, spec.backend_title, spec.images_filter, spec.labeling.text) == (
        "One project",
        "SAM2",
        ".*png",
        GOOD,
    )


PROJECTS = {
    "several problems": (
        YAML.replace("One project", "Ab").replace("version: 1", "version: '1'") + "    colour: red\n"
        "    images:\n      filter: '*.png'\n",
        "the projects cannot be used, 4 problems:\n"
        "  - labeling_configs/projects.yaml: projects.one.title: String should have at least 3 characters\n"
        "  - labeling_configs/projects.yaml: projects.one.version: Input should be a valid integer\n"
        "  - labeling_configs/projects.yaml: projects.one.images.filter: is no regular expression: "
        "nothing to repeat at position 0\n"
        "  - labeling_configs/projects.yaml: projects.one.colour: is no key here (there are: "
        "title, description, config, version, images, backend, sampling, members, default)",
    ),
    "not yaml": (
        "projects: {one: [}\n",
        "labeling_configs/projects.yaml: line 1: expected the node content, but found '}'",
    ),
    "key twice": (
        YAML + "  one:\n    title: Another\n",
        f"labeling_configs/projects.yaml: line {YAML.count(chr(10)) + 1}: one is given twice (also on line 2)",
    ),
    "title twice": (
        YAML + YAML.removeprefix("projects:\n").replace("one:", "two:"),
        "labeling_configs/projects.yaml: projects.two.title: 'One project' is the title of projects.one too; a project "
        "is found by its title, so each needs its own",
    ),
    "empty": (
        "",
        "labeling_configs/projects.yaml: the file: Input should be a valid dictionary or instance of ProjectsFile",
    ),
    "no projects": (
        "projects: {}\n",
        "labeling_configs/projects.yaml: projects: Dictionary should have at least 1 item after validation, not 0",
    ),
    "another name": (
        YAML.replace("  one:", "  two:"),
        "labeling_configs/projects.yaml: there is no project 'one' (there are: two); a project is named by its "
        "key in this file, or by its title",
    ),
    "no such version": (
        YAML.replace("version: 1", "version: 7"),
        "labeling_configs/one/v7.xml: there is no such file (there are: v1.xml)",
    ),
    "path as name": (
        YAML.replace("config: one", "config: ../one"),
        "labeling_configs/projects.yaml: projects.one.config: String should match pattern '^[a-z0-9][a-z0-9-]*$'",
    ),
}


@pytest.mark.parametrize(("text", "message"), PROJECTS.values(), ids=PROJECTS)
def test_a_wrong_projects_file_is_refused(repository: Path, text: str, message: str) -> None:
    (repository / "labeling_configs" / "projects.yaml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_project(repository, "one")
    assert str(caught.value) == message


def test_a_file_that_is_no_text_is_refused(repository: Path) -> None:
    (repository / "labeling_configs" / "one" / "v1.xml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match=r"^labeling_configs/one/v1\.xml: cannot be read: not UTF-8 text$"):
        load_project(repository, "one")


FULL = """projects:
  one:
    title: One project
    config: one
    version: 1
    images: {folder: vuelo Ñ/RGB, filter: '.*(png|jpg)'}
    backend: {extra_params: {output: polygon}, interactive: false}
    sampling: uncertainty
    members: [ana@lab.example, Bo@lab.example]
  two:
    title: Two projects
    config: one
    version: 1
"""


def test_several_projects_with_everything(repository: Path) -> None:
    (repository / "labeling_configs" / "projects.yaml").write_text(FULL)
    (repository / "labeling_configs" / "one" / "v2.xml").write_text(GOOD.replace("Road", "Way"))
    one, two = load_projects(repository)
    assert (one.images_folder, one.images_filter) == ("vuelo Ñ/RGB", ".*(png|jpg)")
    assert (one.backend_options, one.interactive) == ({"output": "polygon"}, False)
    assert (one.sampling, one.members) == ("uncertainty", ("ana@lab.example", "Bo@lab.example"))
    assert (two.images_folder, two.images_filter, two.interactive, two.sampling) == (None, ".*png", True, "sequential")
    assert list(one.versions) == [1, 2]
    assert load_projects(repository, ["two"])[0].title == "Two projects"


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ("{filters: x}", "projects.one.images.filters: is no key here; did you mean filter?"),
        ("{folder: a, 1x: b}", "projects.one.images.1x: is no key here (there are: folder, filter, pairs)"),
        ("{pairs: {rgb: 'RGB/{name}.png'}}", "projects.one.images: `pairs` needs two images or more"),
        (
            "{filter: a, pairs: {a: '{name}.png', b: '{name}.tif'}}",
            "projects.one.images: give either `filter` or `pairs`",
        ),
        (
            "{pairs: {a: 'RGB/x.png', b: '{name}.tif'}}",
            "projects.one.images.pairs.a: must be a path below the folder with {name} in it once, such as "
            "RGB/{name}.png",
        ),
        ("{folder: /abs}", "projects.one.images.folder: String should match pattern"),
        (
            "{pairs: {a: '{name}.png', b: '{name}.tif'}}",
            "projects.one.images.pairs: gives a, b, and labeling_configs/one/v1.xml shows image; the names must be the "
            "same",
        ),
    ],
)
def test_wrong_images_part_is_named_with_its_path(repository: Path, images: str, message: str) -> None:
    path = repository / "labeling_configs" / "projects.yaml"
    path.write_text(f"{YAML}    images: {images}\n")
    with pytest.raises(SettingsError) as caught:
        load_project(repository, "one")
    assert f"labeling_configs/projects.yaml: {message}" in str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("sampling: random", "projects.one.sampling: Input should be 'sequential', 'uniform' or 'uncertainty'"),
        ("members: [nobody]", "projects.one.members.0: is no e-mail address"),
        ("backend: {interactiv: no}", "projects.one.backend.interactiv: is no key here; did you mean interactive?"),
    ],
)
def test_other_settings_that_are_wrong_are_said_with_their_path(repository: Path, line: str, message: str) -> None:
    path = repository / "labeling_configs" / "projects.yaml"
    path.write_text(f"{YAML}    {line}\n")
    with pytest.raises(SettingsError) as caught:
        load_project(repository, "one")
    assert message in str(caught.value)


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
