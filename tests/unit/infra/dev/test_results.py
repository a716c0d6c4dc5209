"""One JUnit file and one list of slow tests from those of the lanes."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import parse

from infra.dev.results import Slow, merge_junit

# ruff: noqa: S314 (the file is this test's own)

UNIT = """<?xml version="1.0" encoding="utf-8"?><testsuites name="pytest tests"><testsuite name="pytest" errors="0"
failures="1" skipped="0" tests="2" time="3.1"><testcase classname="tests.unit.test_a" name="test_one" time="0.25" />
<testcase classname="tests.unit.test_a" name="test_two" time="2.5"><failure message="assert">no</failure></testcase>
</testsuite></testsuites>"""
E2E = """<?xml version="1.0" encoding="utf-8"?><testsuites><testsuite name="pytest" errors="0" failures="0" skipped="1"
tests="1" time="9"><testcase classname="tests.e2e.test_b" name="test_three" time="9.0"><skipped /></testcase>
</testsuite></testsuites>"""


def test_lanes_are_merged_and_the_slowest_comes_first(tmp_path: Path) -> None:
    (tmp_path / "unit.xml").write_text(UNIT)
    (tmp_path / "e2e.xml").write_text(E2E)
    tests = merge_junit(["unit", "e2e"], tmp_path, tmp_path / "junit.xml")
    assert tests == [
        Slow(9.0, "tests.e2e.test_b::test_three", "e2e"),
        Slow(2.5, "tests.unit.test_a::test_two", "unit"),
        Slow(0.25, "tests.unit.test_a::test_one", "unit"),
    ]
    root = parse(tmp_path / "junit.xml").getroot()
    assert [suite.get("name") for suite in root] == ["unit", "e2e"]
    assert {name: root.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "3",
        "failures": "1",
        "errors": "0",
        "skipped": "1",
    }
    assert [failure.text for failure in root.iter("failure")] == ["no"]


def test_a_lane_without_a_whole_file_is_left_out(tmp_path: Path) -> None:
    """`static` has none, and one that was killed wrote half of it."""
    (tmp_path / "unit.xml").write_text(UNIT)
    (tmp_path / "e2e.xml").write_text(E2E[:80])
    merge_junit(["static", "unit", "e2e"], tmp_path, tmp_path / "junit.xml")
    assert [suite.get("name") for suite in parse(tmp_path / "junit.xml").getroot()] == ["unit"]
