"""The JUnit files of the lanes: merged into one, and the slowest tests of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, parse, tostring

COUNTS = ("tests", "failures", "errors", "skipped")


@dataclass(frozen=True)
class Slow:
    """A test with the seconds of its setup, call and teardown together."""

    seconds: float
    name: str
    lane: str


def merge_junit(lanes: Sequence[str], folder: Path, into: Path) -> list[Slow]:
    """Write one JUnit file from `FOLDER/LANE.xml`; a lane without a readable file (it was killed) has none in it.

    Returns:
        Every test, the slowest first.
    """
    root = Element("testsuites", name="labelrig")
    totals = dict.fromkeys(COUNTS, 0)
    found: list[Slow] = []
    for lane in lanes:
        try:
            # Our own pytest wrote it.
            suites = list(parse(folder / f"{lane}.xml").iter("testsuite"))  # noqa: S314
        except (FileNotFoundError, ParseError):
            continue
        for suite in suites:
            suite.set("name", lane)
            root.append(suite)
            for count in COUNTS:
                totals[count] += int(suite.get(count, "0"))
            found += [
                Slow(float(case.get("time", "0")), f"{case.get('classname')}::{case.get('name')}", lane)
                for case in suite.iter("testcase")
            ]
    for count, number in totals.items():
        root.set(count, str(number))
    into.write_bytes(tostring(root, encoding="utf-8", xml_declaration=True))
    return sorted(found, key=lambda one: -one.seconds)
