"""Label Studio's static files as the proxy finds them."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from tests.unit.infra.roles.images.server_modules import load

SCRIPT = "let a = 1;\n" * 1000


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, Path]:
    for name, text in (
        ("one/js/main.js", SCRIPT),
        ("one/js/main.js.map", "{}"),
        ("two/a.png", "png"),
        ("two/b.css", "b"),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return {"static": tmp_path / "one", "react-app": tmp_path / "two"}


def test_files_lie_at_their_addresses(sources: dict[str, Path], tmp_path: Path) -> None:
    target = tmp_path / "volume"
    target.mkdir()
    start = load("labelrig_start")
    place = start.publish(sources, target)
    current = target / "current"
    assert current.resolve() == place
    found = {path.relative_to(current).as_posix() for path in current.rglob("*") if path.is_file()}
    assert found == {"static/js/main.js", "static/js/main.js.gz", "react-app/a.png", "react-app/b.css"}
    assert gzip.decompress((current / "static/js/main.js.gz").read_bytes()).decode() == SCRIPT


def test_only_a_change_copies_them_anew(sources: dict[str, Path], tmp_path: Path) -> None:
    """Another image has other files; what is left of the one before, also half copied, goes."""
    target = tmp_path / "volume"
    target.mkdir()
    start = load("labelrig_start")
    first = start.publish(sources, target)
    marker = first / "marker"
    marker.touch()
    assert start.publish(sources, target) == first
    assert marker.exists()
    (target / "0123.new").mkdir()
    (sources["react-app"] / "b.css").write_text("c")
    os.utime(sources["react-app"] / "b.css", (1, 1))
    second = start.publish(sources, target)
    assert second != first
    assert {path.name for path in target.iterdir()} == {second.name, "current"}
    assert (target / "current" / "react-app" / "b.css").read_text() == "c"
