from __future__ import annotations

import json
import logging
import threading
from pathlib import Path
from typing import Any

import pytest

from backend.errors import LabelingConfigError
from backend.labelstudio.options import ProjectOptions, ProjectOptionsRegistry, read_options

ALLOWED = (
    "complete_maps, crop_small_objects, fill_holes_pixels, keep, output, polygon_tolerance_pixels, "
    "remove_specks_pixels, sequence"
)


@pytest.mark.parametrize("nothing", [None, "", "  ", {}, "{}", "null"])
def test_nothing_gives_the_defaults(nothing: Any) -> None:
    defaults = ProjectOptions(fill_holes_pixels=7)
    assert read_options(nothing) == ProjectOptions()
    assert read_options(nothing, defaults) == defaults


@pytest.mark.parametrize("as_text", [False, True], ids=["object", "string"])
def test_what_is_given_counts_and_the_rest_is_default(as_text: bool) -> None:
    given = {"output": "polygon", "keep": "clicked", "polygon_tolerance_pixels": 3}
    options = read_options(json.dumps(given) if as_text else given, ProjectOptions(fill_holes_pixels=7))
    assert options == ProjectOptions(output="polygon", keep="clicked", polygon_tolerance_pixels=3, fill_holes_pixels=7)


REFUSED: dict[str, tuple[Any, str]] = {
    "unknown": ({"holes": 3}, f"extra_params holds 'holes', which no option is called; the options are {ALLOWED}"),
    "unknown, many": (
        {f"k{number}": 1 for number in range(9)},
        f"extra_params holds 'k0', 'k1', 'k2', 'k3', 'k4', which no option is called; the options are {ALLOWED}",
    ),
    "not JSON": ("fill_holes=3", "extra_params is a string that holds no JSON"),
    "deep": ("[" * 60_000, "extra_params is a string that holds no JSON"),
    "long": (" x" * 40_000, "extra_params is longer than 65536 characters"),
    "list": ([1], "extra_params has to be a JSON object, or the same in a string"),
    "number in a string": ("3", "extra_params has to be a JSON object, or the same in a string"),
    "output": (
        {"output": "contour"},
        "extra_params cannot be used: output: Input should be 'brush', 'bitmask', 'polygon' or 'rectangle'",
    ),
    "two": (
        {"fill_holes_pixels": -1, "keep": "secret"},
        "extra_params cannot be used: fill_holes_pixels: Input should be greater than or equal to 0; "
        "keep: Input should be 'all', 'largest' or 'clicked'",
    ),
    "not finite": (
        '{"polygon_tolerance_pixels": NaN}',
        "extra_params cannot be used: polygon_tolerance_pixels: Input should be a finite number",
    ),
}


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_refused_with_one_sentence(case: str) -> None:
    given, message = REFUSED[case]
    with pytest.raises(LabelingConfigError) as caught:
        read_options(given)
    assert str(caught.value) == message


def test_a_project_is_remembered() -> None:
    registry = ProjectOptionsRegistry(ProjectOptions(fill_holes_pixels=5))
    registry.remember("3.1", {"keep": "largest"})
    assert registry.of("3.1") == ProjectOptions(fill_holes_pixels=5, keep="largest")
    assert registry.of("4.1") == registry.of(None) == ProjectOptions(fill_holes_pixels=5)
    registry.remember("3.1", None)
    assert registry.of("3.1") == ProjectOptions(fill_holes_pixels=5)


def test_a_mistake_leaves_what_was_there() -> None:
    registry = ProjectOptionsRegistry()
    registry.remember("3.1", {"keep": "largest"})
    with pytest.raises(LabelingConfigError):
        registry.remember("3.1", {"kep": "all"})
    assert registry.of("3.1").keep == "largest"


def test_options_survive_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "options.json"
    ProjectOptionsRegistry(path=path).remember("3.1", {"keep": "largest"})
    again = ProjectOptionsRegistry(ProjectOptions(fill_holes_pixels=5), path)
    assert again.of("3.1") == ProjectOptions(keep="largest", fill_holes_pixels=5)
    assert [file.name for file in tmp_path.iterdir()] == ["options.json"]


def test_setup_again_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "options.json"
    registry = ProjectOptionsRegistry(path=path)
    registry.remember("3.1", {"keep": "largest"})
    path.unlink()
    registry.remember("3.1", {"keep": "largest"})
    registry.remember("4.1", {})
    assert not path.exists()


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1]", b"\xff\xfe", b'{"3.1": {"kep": 1}}', b'{"3.1": 5}', b"[" * 100_000]
)
def test_a_damaged_file_is_ignored_with_one_line(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "options.json"
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        registry = ProjectOptionsRegistry(path=path)
    assert registry.of("3.1") == ProjectOptions()
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("the stored project options cannot be read and are ignored: ")
    registry.remember("3.1", {"keep": "largest"})
    assert ProjectOptionsRegistry(path=path).of("3.1").keep == "largest"


def test_a_folder_that_is_gone_costs_a_log_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    registry = ProjectOptionsRegistry(path=tmp_path / "gone" / "options.json")
    registry.remember("3.1", {"keep": "largest"})
    assert registry.of("3.1").keep == "largest"
    assert caplog.messages == ["the project options could not be stored: No such file or directory"]


def test_the_number_of_projects_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "options.json"
    registry = ProjectOptionsRegistry(path=path, limit=2)
    for project in ("1", "2"):
        registry.remember(project, {"keep": "largest"})
    assert registry.of("1").keep == "largest"  # used: the other one is older now
    registry.remember("3", {"keep": "largest"})
    assert [registry.of(project).keep for project in ("1", "2", "3")] == ["largest", "all", "largest"]
    assert set(json.loads(path.read_text())) == {"1", "3"}


def test_many_threads(tmp_path: Path) -> None:
    path = tmp_path / "options.json"
    registry = ProjectOptionsRegistry(path=path)
    start = threading.Barrier(8)

    def work(number: int) -> None:
        start.wait(30)
        for area in range(1, 20):
            registry.remember(str(number), {"fill_holes_pixels": area})

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    again = ProjectOptionsRegistry(path=path)
    assert {again.of(str(number)).fill_holes_pixels for number in range(8)} == {19}
