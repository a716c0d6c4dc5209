"""What people are told, and that they are told once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from infra.alerts.changes import Message, Trouble, as_file, message_of, read_troubles, troubles_now

NOON = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


def diagnosis(**results: str) -> dict[str, Any]:
    """A diagnosis with these links, all others apart."""
    checks = [
        {
            "id": link.replace("_", "-"),
            "result": result,
            "seen": f"{link} seen",
            "fix": "" if result == "ok" else "mend it",
        }
        for link, result in results.items()
    ]
    return {"checks": checks, "verdict": "the verdict"}


class Listener:
    """Hears of each diagnosis what a person would."""

    def __init__(self) -> None:
        self.known: Mapping[str, Trouble] = {}

    def hears(self, now: datetime, **results: str) -> Message | None:
        found = diagnosis(**results)
        before, self.known = self.known, troubles_now(found["checks"], self.known, now)
        return message_of("gpu01", found, before, self.known, now)


def test_nobody_hears_of_a_stack_that_is_well() -> None:
    assert Listener().hears(NOON, ssh="ok", click="ok") is None


def test_a_broken_link_is_told_once_with_its_fix() -> None:
    listener = Listener()
    message = listener.hears(NOON, ssh="ok", click="broken")
    assert message is not None
    assert (message.state, message.title) == ("broken", "labelrig gpu01: broken: click")
    assert message.lines == ("broken: click: click seen — fix: mend it", "", "the verdict")
    assert message.links == ({"id": "click", "result": "broken", "seen": "click seen", "fix": "mend it"},)
    assert listener.hears(NOON + timedelta(minutes=10), ssh="ok", click="broken") is None


def test_it_is_told_when_the_link_holds_again() -> None:
    listener = Listener()
    listener.hears(NOON, click="broken")
    message = listener.hears(NOON + timedelta(hours=3), click="ok")
    assert message is not None
    assert (message.state, message.title) == ("well", "labelrig gpu01: well again")
    assert message.lines[0] == "holds again: click (broken for 3 h)"
    assert message.links[0]["result"] == "ok"


def test_a_link_that_could_not_be_looked_at_is_as_before() -> None:
    """Behind a host that is down nothing is well again, and nothing newly broken."""
    listener = Listener()
    listener.hears(NOON, ssh="ok", click="broken")
    down = listener.hears(NOON, ssh="broken", click="skipped")
    assert down is not None
    assert [one["id"] for one in down.links] == ["ssh"]
    back = listener.hears(NOON, ssh="ok", click="broken")
    assert back is not None
    assert (back.state, [one["id"] for one in back.links]) == ("broken", ["ssh"])
    assert back.title == "labelrig gpu01: broken: click"


def test_nothing_heals_while_there_is_no_diagnosis() -> None:
    """The host dies under the look: of the links nothing is known, and none of them holds again."""
    listener = Listener()
    listener.hears(NOON, ssh="ok", click="broken", disk="warning")
    gone = listener.hears(NOON, doctor="broken")
    assert gone is not None
    assert [one["id"] for one in gone.links] == ["doctor"]
    assert gone.title == "labelrig gpu01: broken: doctor"
    assert listener.hears(NOON, doctor="broken") is None
    back = listener.hears(NOON, ssh="ok", click="broken", disk="ok")
    assert back is not None
    assert [(one["id"], one["result"]) for one in back.links] == [("disk", "ok"), ("doctor", "ok")]
    assert back.title == "labelrig gpu01: broken: click"


def test_a_link_that_the_chain_lost_is_not_broken_for_ever() -> None:
    listener = Listener()
    listener.hears(NOON, ssh="ok", old="broken")
    message = listener.hears(NOON, ssh="ok")
    assert message is not None
    assert (message.state, message.lines[0]) == ("well", "holds again: old (broken for 0 s)")


def test_words_of_others_are_text_that_can_be_sent() -> None:
    found = diagnosis(click="broken")
    found["checks"][0] |= {"seen": "half \ud83d, \x1b[31mred", "fix": "\udfff"}
    found["verdict"] = "half \ud83d"
    message = message_of("gpu\udcff", found, {}, troubles_now(found["checks"], {}, NOON), NOON)
    assert message is not None
    assert message.lines[0] == "broken: click: half \\ud83d, \\u001b[31mred — fix: \\udfff"
    assert message.links[0]["seen"] == "half \\ud83d, \\u001b[31mred"
    assert f"{message.text}{message.host}".encode()


@pytest.mark.parametrize(
    ("before", "after", "state", "first"),
    [
        ("ok", "warning", "warning", "warning: disk: disk seen — fix: mend it"),
        ("warning", "broken", "broken", "broken: disk: disk seen — fix: mend it"),
        ("broken", "warning", "warning", "warning: disk: disk seen — fix: mend it"),
        ("warning", "ok", "well", "holds again: disk (warning for 0 s)"),
    ],
)
def test_warnings_are_told_too(before: str, after: str, state: str, first: str) -> None:
    listener = Listener()
    listener.hears(NOON, disk=before)
    message = listener.hears(NOON, disk=after)
    assert message is not None
    assert (message.state, message.lines[0]) == (state, first)


def test_since_when_survives_the_file() -> None:
    listener = Listener()
    listener.hears(NOON, click="broken")
    told = {"mail": listener.known, "webhook": {}}
    assert read_troubles(as_file(told)) == told
    assert read_troubles(as_file(told))["mail"]["click"] == Trouble("broken", "2026-05-01T12:00:00+00:00")


@pytest.mark.parametrize("content", [None, b"", b"[]", b"{", b'{"mail": 3}', b'{"mail": {"click": {}}}'])
def test_a_file_that_cannot_be_read_tells_all_again(content: bytes | None) -> None:
    assert read_troubles(content) == {}
