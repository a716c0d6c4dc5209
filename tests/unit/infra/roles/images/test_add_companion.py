"""The companion goes into a Label Studio that is as we know it, once, and into no other."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from core.repository import REPOSITORY

SCRIPT = REPOSITORY / "infra" / "roles" / "images" / "dockerfiles" / "label-studio" / "add_companion.py"
PAGE = '<html>\n<link href="{{settings.HOSTNAME}}/x"/>\n<body>\n</body>\n</html>\n'
SETTINGS = "DEBUG = get_bool_env('DEBUG', False)\n"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("add_companion", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def label_studio(tmp_path: Path) -> Path:
    """The parts of the package that are looked at."""
    folder = tmp_path / "label_studio"
    for name, text in (("templates/base.html", PAGE), ("core/settings/label_studio.py", SETTINGS)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "core" / "static_build").mkdir()
    return folder


@pytest.fixture
def companion(tmp_path: Path) -> Path:
    folder = tmp_path / "companion"
    folder.mkdir()
    (folder / "main.js").write_text("import './other.js'\n")
    (folder / "other.js").write_text("1\n")
    return folder


def content(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_the_page_names_the_script_behind_the_switch(script: ModuleType, label_studio: Path, companion: Path) -> None:
    assert script.add(label_studio, companion) == 0
    (folder,) = (label_studio / "core" / "static_build" / "labelrig").iterdir()
    assert {path.name for path in folder.iterdir()} == {"main.js", "other.js"}
    tag = (
        '{% if settings.LABELRIG_COMPANION %}<script type="module" '
        f'src="{{{{settings.HOSTNAME}}}}/static/labelrig/{folder.name}/main.js"></script>{{% endif %}}\n'
    )
    assert (label_studio / "templates" / "base.html").read_text() == PAGE.replace("</body>", tag + "</body>")
    added = (label_studio / "core" / "settings" / "label_studio.py").read_text().removeprefix(SETTINGS)
    assert added == (
        "\n# Added by labelrig.\nLABELRIG_COMPANION = get_bool_env('LABELRIG_COMPANION', True)\n"
        "if LABELRIG_COMPANION:\n    INTERACTIVE_DATA_SERIALIZER = 'labelrig_clicks.ClickedTask'\n"
    )


def test_the_clicks_serializer_is_the_one_that_the_settings_name(
    script: ModuleType, label_studio: Path, companion: Path
) -> None:
    """Both switches by one: with it off, Label Studio's own setting holds."""
    script.add(label_studio, companion)
    assert "class ClickedTask(" in (label_studio / "labelrig_clicks.py").read_text()
    code = (label_studio / "core" / "settings" / "label_studio.py").read_text()
    for switch, expected in ((True, "labelrig_clicks.ClickedTask"), (False, "theirs")):
        values = {"get_bool_env": lambda name, default, on=switch: on, "INTERACTIVE_DATA_SERIALIZER": "theirs"}
        exec(code, values)  # noqa: S102
        assert values["INTERACTIVE_DATA_SERIALIZER"] == expected


def test_script_sends_the_serializers_header() -> None:
    """The script sends the header that the serializer looks for."""
    (header,) = re.findall(r'^HEADER = "([^"]+)"', SCRIPT.with_name("clicked_task.py").read_text(), re.MULTILINE)
    assert f'"{header}": "1"' in (REPOSITORY / "companion" / "api.js").read_text()


def test_a_second_time_changes_nothing(script: ModuleType, label_studio: Path, companion: Path) -> None:
    script.add(label_studio, companion)
    before = content(label_studio)
    script.add(label_studio, companion)
    assert content(label_studio) == before


def test_another_script_has_another_address(script: ModuleType, tmp_path: Path, companion: Path) -> None:
    first = script._digest(companion)
    (companion / "other.js").write_text("2\n")
    assert script._digest(companion) != first


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("templates/base.html", PAGE.replace("</body>", "")),
        ("templates/base.html", PAGE + "</body>"),
        ("templates/base.html", PAGE.replace("{{settings.HOSTNAME}}", "")),
        ("core/settings/label_studio.py", "DEBUG = False\n"),
        ("templates/base.html", None),
    ],
)
def test_what_is_not_as_it_was_is_left_alone(
    script: ModuleType,
    label_studio: Path,
    companion: Path,
    capsys: pytest.CaptureFixture[str],
    path: str,
    text: str | None,
) -> None:
    (label_studio / path).unlink() if text is None else (label_studio / path).write_text(text)
    before = content(label_studio)
    assert script.add(label_studio, companion) == 0
    assert content(label_studio) == before
    assert "pages stay without the companion" in capsys.readouterr().err


def test_another_version_is_left_alone(
    script: ModuleType, companion: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        script.importlib.util, "find_spec", lambda _: type("Spec", (), {"submodule_search_locations": ["/x"]})
    )
    monkeypatch.setattr(script.importlib.metadata, "version", lambda _: "1.24.0")
    assert script.main(companion) == 0
    assert "it is version 1.24.0, and known are 1.23.2" in capsys.readouterr().err


def test_the_script_and_the_page_know_the_same_versions(script: ModuleType) -> None:
    text = (REPOSITORY / "companion" / "editor.js").read_text()
    assert f"VERSIONS = {list(script.VERSIONS)}".replace("'", '"') in text
