from __future__ import annotations

import contextlib
import io
import json
from xml.etree.ElementTree import Element, fromstring

from hypothesis import given
from hypothesis import strategies as st

from core.errors import LabelrigError
from core.junit import as_junit
from core.report import Report
from core.results import HostResult, as_json, recap


def good() -> HostResult:
    report = Report(io.StringIO())
    with report.stage("docker"):
        report.ok("docker installed", [])
        report.ok("docker running", ["start docker"])
    with report.stage("nvidia"):
        report.skipped("driver", "no GPU")
    with report.stage("stack"):
        report.unknown("containers", "no engine yet")
    with report.stage("empty"):
        pass
    report.facts["url"] = "http://127.0.0.1:8080"
    return HostResult("gpu01", report, None, 0, 41.234)


def broken(error: str = "gpu-two: the proof failed\nits logs:\n  \x1b[31mboom\x1b[0m & <tag>") -> HostResult:
    report = Report(io.StringIO())
    with contextlib.suppress(LabelrigError), report.stage("verify"):
        report.ok("token", [])
        raise LabelrigError("x")
    return HostResult("gpu-two", report, error, 5, 2.0)


def unreached() -> HostResult:
    return HostResult("cpu01", Report(io.StringIO()), "cpu01: no connection", 1, 0.5)


def suites(*results: HostResult) -> list[Element]:
    root: Element = fromstring(as_junit(results).encode())  # noqa: S314 - our own text
    assert root.tag == "testsuites"
    return list(root)


def numbers(element: Element) -> tuple[str | None, ...]:
    return tuple(element.get(name) for name in ("tests", "failures", "skipped", "time"))


def test_each_host_is_a_suite_and_each_stage_a_case() -> None:
    (suite,) = suites(good())
    assert (suite.get("name"), numbers(suite)) == ("gpu01", ("4", "0", "1", "41.234"))
    assert [(case.get("classname"), case.get("name")) for case in suite] == [
        ("gpu01", "docker"),
        ("gpu01", "nvidia"),
        ("gpu01", "stack"),
        ("gpu01", "empty"),
    ]
    docker, nvidia, stack, empty = suite
    assert docker.findtext("system-out") == "changed: start docker\nok: docker installed"
    assert [child.get("message") for child in nvidia.findall("skipped")] == ["driver"]
    assert stack.findtext("system-out") == "unknown: containers"
    assert [len(case.findall("skipped")) for case in (docker, stack, empty)] == [0, 0, 0]
    assert len(empty) == 0


def test_failed_stage_carries_error_that_xml_can_hold() -> None:
    """The failed stage carries the error without what xml cannot hold."""
    (suite,) = suites(broken())
    assert numbers(suite) == ("1", "1", "0", "2.000")
    (failure,) = suite.iter("failure")
    assert failure.get("message") == "gpu-two: the proof failed"
    assert failure.text == "gpu-two: the proof failed\nits logs:\n  ?[31mboom?[0m & <tag>"


def test_an_error_outside_every_stage_is_a_case_of_its_own() -> None:
    (suite,) = suites(unreached())
    assert [(case.get("name"), case.findtext("failure")) for case in suite] == [("run", "cpu01: no connection")]


def test_a_bad_exit_code_is_a_failure_even_without_a_word() -> None:
    (suite,) = suites(HostResult("a", Report(io.StringIO()), None, 3, 0.0))
    assert suite.find("testcase/failure").get("message") == "ended with exit code 3"  # type: ignore[union-attr]


def test_the_whole_run_is_counted() -> None:
    root: Element = fromstring(as_junit([good(), broken(), unreached()]).encode())  # noqa: S314 - our own text
    assert numbers(root) == ("6", "2", "1", "43.734")
    assert numbers(fromstring(as_junit([]).encode())) == ("0", "0", "0", "0.000")  # noqa: S314 - our own text


@given(st.text(), st.text(st.characters()), st.text(st.characters(codec=None)))
def test_any_text_gives_valid_xml(host: str, stage: str, error: str) -> None:
    report = Report(io.StringIO())
    with report.stage(stage):
        report.ok(error, [error])
    assert len(suites(HostResult(host, report, error, 1, 0.0))) == 1


def test_the_recap_is_a_line_for_each_host() -> None:
    assert recap([good(), broken(), unreached()]).splitlines() == [
        "gpu01    ok=1 changed=1 skipped=1 failed=0 unknown=1  41.2 s",
        "gpu-two  ok=1 changed=0 skipped=0 failed=1 unknown=0  2.0 s",
        "cpu01    ok=0 changed=0 skipped=0 failed=1 unknown=0  0.5 s",
    ]
    assert recap([]) == ""


def test_the_record_holds_every_host() -> None:
    record = json.loads(as_json([good(), broken()]))
    assert (record["ok"], record["changed"]) == (False, 1)
    first, second = record["hosts"]
    assert (first["host"], first["exit_code"], first["error"], first["seconds"]) == ("gpu01", 0, None, 41.234)
    assert first["url"] == "http://127.0.0.1:8080"
    assert [stage["name"] for stage in first["stages"]] == ["docker", "nvidia", "stack", "empty"]
    assert second["error"].startswith("gpu-two: the proof failed")
    assert json.loads(as_json([good()]))["ok"] is True
