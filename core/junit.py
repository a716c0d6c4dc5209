"""`--junit FILE`: a run as test results, which every CI shows: a suite for each host, a case for each stage."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from core.report import Stage
from core.results import HostResult

NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
OUTSIDE = "run"


def as_junit(results: Sequence[HostResult]) -> str:
    """Return a JUnit document.

    A stage that failed carries the host's error. An error outside every stage (no connection, say) is a case of its
    own, named `run`. A stage in which everything was left out is *skipped*.
    """
    root = Element("testsuites", name="labelrig")
    for result in results:
        _suite(root, result)
    _count(root, [case for suite in root for case in suite], sum(result.seconds for result in results))
    indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _suite(root: Element, result: HostResult) -> None:
    suite = SubElement(root, "testsuite", name=_text(result.host))
    error = result.error or (f"ended with exit code {result.exit_code}" if result.exit_code else None)
    for stage in result.report.stages:
        case = _case(suite, result.host, stage.name, stage.seconds)
        if stage.failed:
            _failure(case, error or "failed")
        elif stage.skipped and not (stage.ok or stage.changed or stage.unknown):
            SubElement(case, "skipped", message=_text("; ".join(stage.skipped)))
        lines = _lines(stage)
        if lines:
            SubElement(case, "system-out").text = _text("\n".join(lines))
    if error is not None and not any(stage.failed for stage in result.report.stages):
        _failure(_case(suite, result.host, OUTSIDE, 0.0), error)
    _count(suite, list(suite), result.seconds)


def _case(suite: Element, host: str, name: str, seconds: float) -> Element:
    return SubElement(suite, "testcase", classname=_text(host), name=_text(name), time=f"{seconds:.3f}")


def _failure(case: Element, error: str) -> None:
    first = error.splitlines()[0] if error else ""
    SubElement(case, "failure", message=_text(first), type="failed").text = _text(error)


def _count(element: Element, cases: Sequence[Element], seconds: float) -> None:
    element.set("tests", str(len(cases)))
    element.set("failures", str(sum(case.find("failure") is not None for case in cases)))
    element.set("errors", "0")
    element.set("skipped", str(sum(case.find("skipped") is not None for case in cases)))
    element.set("time", f"{seconds:.3f}")


def _lines(stage: Stage) -> list[str]:
    kinds = (("changed", stage.changed), ("ok", stage.ok), ("skipped", stage.skipped), ("unknown", stage.unknown))
    return [f"{kind}: {text}" for kind, texts in kinds for text in texts]


def _text(text: str) -> str:
    """What XML 1.0 has no place for becomes `?`: colours of a terminal, broken text of a log."""
    return NOT_XML.sub("?", text)
