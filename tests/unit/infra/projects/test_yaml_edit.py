"""Single values are changed in a file that people wrote, and nothing else of it."""

from __future__ import annotations

import pytest
import yaml

from core.errors import SettingsError
from infra.projects.yaml_edit import with_value

TEXT = """# kept
projects:
  one:          # kept too
    title: One project
    description: "old: text"   # why
    config: one
    version: 1
    images: {filter: '.*png'}
  two:
    version:   7
    description: >
      several
      lines
    title: Two
"""


@pytest.mark.parametrize(
    ("name", "key", "value", "old", "new"),
    [
        ("one", "version", 12, "    version: 1\n", "    version: 12\n"),
        ("two", "version", 8, "version:   7", "version:   8"),
        ("one", "description", "new: ñ # 1", '"old: text"', "'new: ñ # 1'"),
        ("one", "sampling", "uniform", "    version: 1\n", "    version: 1\n    sampling: uniform\n"),
        ("two", "description", "short", ">\n      several\n      lines\n", "short\n"),
        ("two", "description", "yes", ">\n      several\n      lines\n", "'yes'\n"),
    ],
)
def test_one_value_is_changed(name: str, key: str, value: str | int, old: str, new: str) -> None:
    changed = with_value(TEXT, "p.yaml", ("projects", name), key, value)
    assert changed == TEXT.replace(old, new, 1)
    assert yaml.safe_load(changed)["projects"][name][key] == value


def test_a_project_in_one_line_is_left_to_people() -> None:
    with pytest.raises(SettingsError, match=r"projects\.one: is not written as a block"):
        with_value("projects:\n  one: {version: 1}\n", "p.yaml", ("projects", "one"), "version", 2)


def test_a_project_that_is_not_there_is_said() -> None:
    with pytest.raises(SettingsError, match=r"projects\.other: is not written"):
        with_value(TEXT, "p.yaml", ("projects", "other"), "version", 2)


def test_a_file_with_a_key_given_twice_is_left_alone() -> None:
    with pytest.raises(SettingsError, match=r"^p\.yaml: line 2: version is given twice \(also on line 1\)$"):
        with_value("version: 1\nversion: 2\n", "p.yaml", (), "version", 3)


def test_a_key_merged_from_an_anchor_gets_a_line_of_its_own() -> None:
    """What another project holds, too, is not changed with this one."""
    text = "projects:\n  a: &a\n    version: 1\n    description: A\n  b:\n    <<: *a\n    version: 2\n"
    changed = with_value(text, "p.yaml", ("projects", "b"), "description", "B")
    assert changed == text + "    description: B\n"
