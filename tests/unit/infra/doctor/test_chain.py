"""The doctor's walk along the chain: what is skipped, what is named first, and how it is shown."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator

import pytest

from core.errors import ConnectFailed, HostError, HostKeyRefused, LabelrigError, LoginRefused, SudoRefused
from core.report import Report
from infra.doctor.chain import CHAIN, Link, doctor_unreachable, walk
from infra.doctor.diagnosis import Check, Diagnosis, Finding, Verdict, broken, ok, warning
from infra.doctor.host_checks import MISSING
from infra.doctor.inspection import Inspection
from tests.unit.infra.doctor.doctor_bench import LOOK, DoctorBench

Look = Callable[[Inspection], Finding]


@pytest.fixture
def bench() -> DoctorBench:
    return DoctorBench()


@pytest.fixture
def look(bench: DoctorBench) -> Iterator[Inspection]:
    one = bench.inspection()
    yield one
    one.close()


def fails(error: BaseException) -> Look:
    def check(_look: Inspection) -> Finding:
        raise error

    return check


def chain(*links: tuple[str, Look, tuple[str, ...]]) -> tuple[Link, ...]:
    return tuple(Link(name, name, check, needs) for name, check, needs in links)


def results(look: Inspection, links: tuple[Link, ...]) -> dict[str, str]:
    found = walk(links, look, Report(io.StringIO()))
    return {check.id: f"{check.result} {check.seen}" for check in found.checks}


def test_names_a_lost_connection_and_looks_no_further(bench: DoctorBench, look: Inspection) -> None:
    bench.host.why_lost = "nothing came from there for 45 s"
    found = results(look, chain(("a", fine, ()), ("b", bad, ()), ("c", fine, ())))
    assert found == {
        "a": "ok fine",
        "b": f"broken {bench.host.name}: the connection is gone (nothing came from there for 45 s)",
        "c": "skipped because the connection is gone",
    }


def fine(_look: Inspection) -> Finding:
    return ok("fine")


def bad(_look: Inspection) -> Finding:
    return broken("it is bad", "mend it")


def odd(_look: Inspection) -> Finding:
    return warning("it is odd", "look at it")


def test_skips_only_what_depends_on_a_broken_link(look: Inspection) -> None:
    """What depends on a broken link is skipped and the rest is not."""
    links = chain(("a", bad, ()), ("b", fine, ("a",)), ("c", fine, ("b",)), ("d", fine, ()), ("e", odd, ("d",)))
    assert results(look, links) == {
        "a": "broken it is bad",
        "b": "skipped because a is broken",
        "c": "skipped because a is broken",
        "d": "ok fine",
        "e": "warning it is odd",
    }


def test_a_file_that_is_gone_hides_no_other_trouble(bench: DoctorBench) -> None:
    """The containers are looked into all the same, and secrets that are open to all are named beside it."""
    bench.host.script("sh", "-c", MISSING, "sh", *LOOK, stdout="/stack/compose.yaml\n")
    bench.host.script("stat", "-L", "-c", "%a", "--", "/.env", stdout="644\n")
    look = bench.inspection()
    links = [link for link in CHAIN if link.id not in ("disk", "image", "click")]  # these want a true host
    found = {check.id: check.result for check in walk(links, look, Report(io.StringIO())).checks}
    look.close()
    assert (found.pop("files"), found.pop("secrets")) == (Verdict.BROKEN, Verdict.WARNING)
    assert set(found.values()) == {Verdict.OK}, found


def test_a_warning_holds_nothing_up(look: Inspection) -> None:
    assert results(look, chain(("a", odd, ()), ("b", fine, ("a",))))["b"] == "ok fine"


def test_what_happens_inside_a_container_needs_it_healthy(bench: DoctorBench, look: Inspection) -> None:
    bench.engine.there["sam2"].health = "unhealthy"
    links = (Link("a", "a", fine, inside=("label-studio",)), Link("b", "b", fine, inside=("label-studio", "sam2")))
    assert results(look, links) == {"a": "ok fine", "b": "skipped because containers: sam2 is not healthy"}


def test_expected_error_is_a_broken_link_but_a_bug_raises(look: Inspection) -> None:
    """An expected error is a broken link and a bug is not hidden."""
    assert results(look, chain(("a", fails(LabelrigError("no way")), ()))) == {"a": "broken no way"}
    with pytest.raises(KeyError):
        results(look, chain(("a", fails(KeyError("bug")), ())))


def test_a_link_that_hangs_hides_no_other(look: Inspection) -> None:
    free = threading.Event()

    def hangs(_look: Inspection) -> Finding:
        free.wait(30)
        return ok("late")

    links = (Link("a", "a", hangs, limit=0.05), Link("b", "b", fine))
    try:
        assert results(look, links) == {"a": "broken no answer within 0 s", "b": "ok fine"}
    finally:
        free.set()


def test_every_link_needs_only_links_before_it() -> None:
    before: set[str] = set()
    for link in CHAIN:
        assert set(link.needs) <= before, link.id
        before.add(link.id)
    assert len(before) == len(CHAIN)


def diagnosis(*checks: tuple[str, Finding]) -> Diagnosis:
    return Diagnosis("gpu01", tuple(Check(name, name, one.result, one.seen, one.fix, 0.25) for name, one in checks))


@pytest.mark.parametrize(
    ("checks", "code", "verdict"),
    [
        ([("a", ok("fine")), ("b", ok("fine"))], 0, "every link holds (2 checks, 0.5 s)"),
        (
            [("a", warning("odd", "x")), ("b", broken("bad:\n  why", "mend")), ("c", broken("worse", "y"))],
            1,
            "first broken link: b: bad — fix: mend",
        ),
        ([("a", ok("fine")), ("b", warning("odd", "x"))], 2, "no broken link; warning: b: odd — fix: x"),
        (
            [("a", warning("odd", "x")), ("b", warning("odder", "y"))],
            2,
            "no broken link; 2 warnings, the first: a: odd — fix: x",
        ),
    ],
)
def test_verdict_and_exit_code(checks: list[tuple[str, Finding]], code: int, verdict: str) -> None:
    found = diagnosis(*checks)
    assert (found.exit_code, found.verdict) == (code, verdict)


def test_one_line_a_check_then_the_verdict() -> None:
    found = diagnosis(("ssh", ok("fine")), ("engine", broken("down:\n  why", "start it")), ("files", ok("there")))
    assert found.text().splitlines() == [
        "gpu01:",
        "  ✓ ssh          fine",
        "  ✗ engine       broken: down:",
        "        why",
        "      fix: start it",
        "  ✓ files        there",
        "",
        "first broken link: engine: down — fix: start it",
    ]


def test_json_holds_the_same() -> None:
    found = json.loads(json.dumps(diagnosis(("a", ok("fine")), ("b", broken("bad", "mend"))).as_dict()))
    assert found["verdict"] == "first broken link: b: bad — fix: mend"
    assert found["first_broken"] == "b"
    assert found["checks"][1] == {
        "id": "b",
        "title": "b",
        "result": "broken",
        "seen": "bad",
        "fix": "mend",
        "seconds": 0.25,
    }


@pytest.mark.parametrize(
    ("error", "fix"),
    [
        (ConnectFailed("gpu01: no route"), "see whether the machine is on; `ssh -v` shows how far it comes"),
        (HostKeyRefused("gpu01: unknown key"), "compare the fingerprint"),
        (LoginRefused("gpu01: refused"), "add your key to the user there (`ssh-copy-id`)"),
        (SudoRefused("gpu01: no sudo"), "put LABELRIG_SUDO_PASSWORD into .env"),
        (HostError("gpu01: no further session"), "let an administrator change /etc/ssh/sshd_config there"),
    ],
)
def test_a_host_that_cannot_be_reached(error: HostError, fix: str) -> None:
    found = doctor_unreachable("gpu01", error)
    assert [check.id for check in found.checks] == [link.id for link in CHAIN]
    assert found.first_broken is not None
    assert found.first_broken.id == "ssh"
    assert found.first_broken.seen == str(error)
    assert found.first_broken.fix.startswith(fix)
    assert {check.result for check in found.checks[1:]} == {Verdict.SKIPPED}
    assert found.exit_code == (6 if isinstance(error, ConnectFailed) else 1)
