"""lock.status, lock.take, lock.release, rollback, releases and audit, for people and as JSON, on two hosts."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from core.errors import HostError, LabelrigError, RolledBack, SettingsError
from core.report import Report
from infra.config.host_settings import HostSettings
from infra.deploy import rollback_command as module
from infra.deploy.deployment import Deployment
from infra.deploy.lock_command import lock_release, lock_status, lock_take
from infra.deploy.rollback_command import list_audit, list_releases, run_rollback
from infra.fleet.choice import Choice, Outcome
from infra.fleet.parallel import SKIPPED
from infra.releases.audit import AuditEvent, AuditLog
from infra.releases.lock import HostLock
from infra.releases.store import Releases
from tests.unit.infra.deploy_bench import Here, LabHost, options, quiet
from tests.unit.infra.releases.lock_bench import alice, bob, entries, leave
from tests.unit.infra.releases.release_bench import FACTS, NOW, SQLITE, files

MESSAGE = "moving the rack"


@pytest.fixture
def choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Choice:
    """Two hosts, gpu01 and gpu02, each with a root of its own on this machine."""
    names = ("gpu01", "gpu02")
    hosts = ", ".join(f"{name}: {{address: 10.0.0.{name[-1]}, root: {tmp_path / name}}}" for name in names)
    inventory = tmp_path / "inventory.yaml"
    inventory.write_text(f"hosts: {{{hosts}}}\n")

    def connect(_self: Here, host_settings: HostSettings, _run_id: str, _report: Report) -> LabHost:
        if not (tmp_path / "down" / host_settings.name).exists():
            host = LabHost()
            host.name = host_settings.name
            return host
        raise HostError(f"{host_settings.name}: no route to host")

    monkeypatch.setattr(Here, "connect", connect)
    return Choice(groups=("all",), inventory=inventory)


def base(choice: Choice, name: str) -> str:
    return f"{choice.inventory.parent / name}/labelrig"


def down(choice: Choice, name: str) -> None:
    folder = choice.inventory.parent / "down"
    folder.mkdir()
    (folder / name).touch()


def hosts_of(outcome: Outcome) -> list[Any]:
    return list(json.loads(outcome.shown(json=True, junit=None))["hosts"])


def released(choice: Choice, name: str, *gates: str) -> list[str]:
    made = []
    for number, gate in enumerate(gates):
        releases = Releases(LabHost(), base(choice, name), lambda number=number: NOW + timedelta(minutes=number))  # type: ignore[misc]
        one = releases.write(files(), FACTS)
        releases.activate(one.id)
        if gate != "pending":
            releases.mark(one.id, "passed" if gate == "passed" else "failed", database_state=SQLITE)
        made.append(str(one.id))
    return made


def test_locks_are_free_taken_shown_and_given_back(choice: Choice) -> None:
    assert lock_status(choice, options("lock.status")).text == "gpu01: free\ngpu02: free"
    taken = lock_take(choice, options("lock.take"), MESSAGE)
    assert (taken.text, taken.exit_code) == (f'gpu01: yours, "{MESSAGE}"\ngpu02: yours, "{MESSAGE}"', 0)
    assert [one["changed"] for one in hosts_of(taken)] == [1, 1]
    status = lock_status(choice, options("lock.status"))
    for line, name in zip(status.text.splitlines(), ("gpu01", "gpu02"), strict=True):
        assert line.startswith(f"{name}: held by alice@")
        assert line.endswith(f'who says "{MESSAGE}"')
    assert all(one["lock"].startswith("held by alice@") for one in hosts_of(status))
    released = lock_release(choice, options("lock.release"), own=False, force=False)
    assert released.text.startswith("gpu01: released; it was held by alice@")
    assert released.exit_code == 0
    assert entries(LabHost(), base(choice, "gpu01")) == []
    again = lock_release(choice, options("lock.release"), own=False, force=False)
    assert (again.text, again.exit_code) == (
        "gpu01: nothing of yours to release\ngpu02: nothing of yours to release",
        0,
    )


@pytest.mark.parametrize("message", ["", "  \n"])
def test_whoever_takes_a_lock_says_why(choice: Choice, message: str) -> None:
    with pytest.raises(SettingsError, match=r"^--message: say why") as caught:
        lock_take(choice, options("lock.take"), message)
    assert caught.value.exit_code == 2


def test_the_lock_of_another_is_left_alone_told_and_forced(choice: Choice) -> None:
    leave(LabHost(), base(choice, "gpu01"), bob())
    take = lock_take(choice, options("lock.take"), MESSAGE)
    assert take.exit_code == 4
    assert (take.results[0].error or "").startswith("gpu01: the lock is held by bob@laptop")
    assert take.text.splitlines()[0] == "gpu01: failed with exit code 4"
    assert take.text.splitlines()[-1] == f'gpu02: yours, "{MESSAGE}"'
    refused = lock_release(choice, options("lock.release"), own=False, force=False)
    assert refused.exit_code == 4
    own = lock_release(choice, options("lock.release"), own=True, force=False)
    assert (own.exit_code, own.text) == (0, "gpu01: nothing of yours to release\ngpu02: nothing of yours to release")
    assert "left alone" in own.results[0].report.notices[0]
    assert "lock" in entries(LabHost(), base(choice, "gpu01"))
    forced = lock_release(choice, options("lock.release"), own=False, force=True)
    assert forced.text.splitlines()[0].startswith("gpu01: released; it was held by bob@laptop")
    (died,) = AuditLog(LabHost(), base(choice, "gpu01"), quiet()).entries(5)
    assert (died.who, died.result) == ("bob@laptop", "died")
    assert (died.error or "").endswith(" released its lock")
    assert entries(LabHost(), base(choice, "gpu01")) == ["audit.jsonl"]


def test_an_unreachable_host_does_not_hide_the_others(choice: Choice, capsys: pytest.CaptureFixture[str]) -> None:
    down(choice, "gpu01")
    outcome = lock_status(choice, options("lock.status"))
    assert outcome.text.splitlines()[-1] == "gpu02: free"
    assert "no route to host" not in outcome.text, "a person has seen it on stderr"
    assert capsys.readouterr().err.count("gpu01 | error: no route to host\n") == 1
    assert outcome.exit_code == 1
    assert [one["error"] for one in hosts_of(outcome)] == ["gpu01: no route to host", None]
    listed = list_releases(choice, options("releases"))
    assert listed.text == "gpu01: failed with exit code 1\ngpu02\n    no release yet"
    assert listed.exit_code == 1


def test_lists_releases_newest_first_and_marks_current(choice: Choice) -> None:
    """Releases are listed newest first with the current one marked."""
    first, second, third = released(choice, "gpu01", "passed", "failed", "pending")
    Releases(LabHost(), base(choice, "gpu01")).activate(
        Releases(LabHost(), base(choice, "gpu01")).read().releases[0].id
    )
    outcome = list_releases(choice, options("releases"))
    assert outcome.text == "\n".join(
        [
            "gpu01",
            f"    {third}  pending  demo       alice@desk",
            f"    {second}  failed   demo       alice@desk",
            f"  * {first}  passed   demo       alice@desk",
            "gpu02",
            "    no release yet",
        ]
    )
    rows = hosts_of(outcome)[0]["releases"]
    assert [(row["id"], row["current"], row["gate"], row["model"]) for row in rows] == [
        (third, False, "pending", "demo"),
        (second, False, "failed", "demo"),
        (first, True, "passed", "demo"),
    ]
    assert rows[0]["made_at"] == "2025-03-01T10:02:00Z"
    assert hosts_of(outcome)[1]["releases"] == []


def test_a_release_that_cannot_be_read_is_listed_as_such(choice: Choice) -> None:
    (only,) = released(choice, "gpu01", "passed")
    (Path(base(choice, "gpu01")) / "releases" / only / "release.json").write_text("{")
    line = list_releases(choice, options("releases")).text.splitlines()[1]
    assert line == f"  * {only}  failed   ?          release.json cannot be read"


def test_the_audit_log_is_listed_oldest_first(choice: Choice) -> None:
    Path(base(choice, "gpu01")).mkdir(parents=True)
    log = AuditLog(LabHost(), base(choice, "gpu01"), quiet(), now=lambda: NOW)
    said = {"who": "alice@desk", "where": "desk", "commit": "607e07e0abc", "seconds": 12.6}
    for number, (result, error) in enumerate((("ok", None), ("failed", "no mask\nlogs"), ("refused", "freeze"))):
        log.append(
            AuditEvent.model_validate(
                {
                    **said,
                    "command": "./inv deploy",
                    "result": result,
                    "exit_code": 1,
                    "changes": number,
                    "error": error,
                }
            )
        )
    outcome = list_audit(choice, options("audit"), 2)
    assert outcome.text == "\n".join(
        [
            "gpu01",
            "  2025-03-01T10:00:00Z  failed       ./inv deploy    alice@desk  607e07e  1 changed  13 s  no mask",
            "  2025-03-01T10:00:00Z  refused      ./inv deploy    alice@desk  607e07e  2 changed  13 s  freeze",
            "gpu02",
            "  nothing yet",
        ]
    )
    assert [row["result"] for row in hosts_of(outcome)[0]["audit"]] == ["failed", "refused"]
    died = {**said, "seconds": None, "command": "./inv deploy", "result": "died", "error": "its process ended"}
    log.append(AuditEvent.model_validate(died))
    assert list_audit(choice, options("audit"), 1).text.splitlines()[1] == (
        "  2025-03-01T10:00:00Z  died         ./inv deploy    alice@desk  607e07e  its process ended"
    )


def test_a_rollback_asks_does_and_leaves_a_line_in_the_log(choice: Choice, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[str] = []

    def roll_back(deployment: Deployment, wanted: str | None, report: Report) -> Any:
        info = HostLock(deployment.host, deployment.base, alice(), quiet()).status()
        held.append(info.owner.command if info is not None and info.owner is not None else "nobody")
        with report.stage("rollback"):
            report.ok("x", [f"go to {wanted}"])
        return deployment.releases.read().releases[0]

    for name in ("gpu01", "gpu02"):
        released(choice, name, "passed", "passed")
    monkeypatch.setattr(module, "roll_back", roll_back)
    asked: list[str] = []
    outcome = run_rollback(choice, options("rollback"), None, confirm=asked.append)
    assert asked == ["This lets the release before the current one serve on gpu01, gpu02."]
    assert held == ["./inv rollback"] * 2
    assert outcome.exit_code == 0
    assert [line.split("  ")[:2] for line in outcome.text.splitlines()] == [
        ["gpu01", "ok=0 changed=1 skipped=0 failed=0 unknown=0"],
        ["gpu02", "ok=0 changed=1 skipped=0 failed=0 unknown=0"],
    ]
    (event,) = AuditLog(LabHost(), base(choice, "gpu01"), quiet()).entries(5)
    assert (event.result, event.command, event.changes) == ("ok", "./inv rollback", 1)
    assert event.release == str(Releases(LabHost(), base(choice, "gpu01")).read().releases[0].id)
    assert "lock" not in entries(LabHost(), base(choice, "gpu01"))


@pytest.mark.parametrize(
    ("error", "result", "code"),
    [(RolledBack("no; r1 serves again"), "rolled-back", 5), (LabelrigError("gpu01: cannot go back"), "failed", 1)],
)
def test_rollback_stops_after_failure_on_first_host(
    choice: Choice, monkeypatch: pytest.MonkeyPatch, error: LabelrigError, result: str, code: int
) -> None:
    """A rollback that fails on the first host leaves the others alone."""

    def roll_back(_deployment: Deployment, _wanted: str | None, _report: Report) -> Any:
        raise error

    monkeypatch.setattr(module, "roll_back", roll_back)
    asked: list[str] = []
    outcome = run_rollback(choice, options("rollback"), "20250301T100000Z-607e07e", confirm=asked.append)
    assert asked == ["This lets release 20250301T100000Z-607e07e serve on gpu01, gpu02."]
    assert outcome.exit_code == code
    assert outcome.results[0].error == str(error)
    assert str(error) not in outcome.text
    assert outcome.results[1].error == SKIPPED
    (event,) = AuditLog(LabHost(), base(choice, "gpu01"), quiet()).entries(5)
    assert (event.result, event.exit_code, event.release) == (result, code, None)
    assert not Path(base(choice, "gpu02")).exists()


def test_rollback_does_not_wait_for_a_persons_lock(choice: Choice) -> None:
    """A rollback does not wait for a person who holds the lock."""
    released(choice, "gpu01", "passed", "passed")
    lock_take(choice, options("lock.take"), MESSAGE)
    outcome = run_rollback(choice, options("rollback", lock_wait=30.0), None, confirm=None)
    assert outcome.exit_code == 4
    assert MESSAGE in (outcome.results[0].error or "")
    assert AuditLog(LabHost(), base(choice, "gpu01"), quiet()).entries(5) == []
