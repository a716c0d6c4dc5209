"""projects.yaml: several projects are read, and everything that can be wrong is said with its path."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from core.errors import SettingsError
from labelstudio.config import load_project, load_projects

GOOD = """<View>
  <Labels name="label" toName="image">
    <Label value="Car" background="#E53935" hotkey="1"/>
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
        "title, description, config, version, images, backend, sampling, members, default, complete_maps, sequence)",
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
    (repository / "labeling_configs" / "one" / "v1.xml").write_bytes(b"<View>\n\xf1")
    with pytest.raises(SettingsError, match=r"^labeling_configs/one/v1\.xml: line 2: is not UTF-8 text; save the file"):
        load_project(repository, "one")


def test_a_byte_order_mark_does_not_reach_label_studio(repository: Path) -> None:
    path = repository / "labeling_configs" / "one" / "v1.xml"
    plain = load_project(repository, "one").labeling.text
    path.write_bytes(codecs.BOM_UTF8 + path.read_bytes().replace(b"\n", b"\r\n"))
    assert load_project(repository, "one").labeling.text == plain


FULL = """projects:
  one:
    title: One project
    config: one
    version: 1
    images: {folder: vuelo Ñ/RGB, filter: '.*(png|jpg)'}
    backend: {extra_params: {output: polygon}, interactive: false}
    sampling: uncertainty
    complete_maps: true
    sequence: {order: time, cuts: [0412.png]}
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
    options = {"output": "polygon", "complete_maps": True, "sequence": '{"order":"time","cuts":["0412.png"]}'}
    assert (one.backend_options, one.interactive) == (options, False)
    assert (one.sampling, one.members) == ("uncertainty", ("ana@lab.example", "Bo@lab.example"))
    assert (one.wants_complete_maps, two.wants_complete_maps) == (True, False)
    assert two.backend_options == {}
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
