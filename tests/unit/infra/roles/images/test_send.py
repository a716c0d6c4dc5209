"""Images on their way to another engine: what is sent, what comes of a refusal, and what each error says."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import pytest
from docker.errors import APIError

from core.errors import CannotKnow, CommandFailed, HostError
from core.operation import converge
from core.report import Report
from hosts.base import Result
from infra.roles.docker.client import EngineState
from infra.roles.docker.packages import ENGINE, LOOK_FOR
from infra.roles.images import ship as image_ship
from infra.roles.images.archive import known_chains
from infra.roles.images.ship import ImagesShipped
from tests.fakes import FakeHost
from tests.unit.infra.roles.images.image_archives import FORMS, TAG, A, B, C, chains_of, digest_of, entries_of
from tests.unit.infra.roles.images.loading import LOAD, FakeEngine, FakeImage, LoadingHost


class DeadHost(FakeHost):
    """Ends every command at once and reads nothing of what it is given."""

    name = "lab"

    def run(self, *argv: str, stdin: Any = None, **_how: Any) -> Result:
        self.commands.append(argv)
        raise CommandFailed("lab: no space left on device")


Engines = Callable[[FakeHost, FakeEngine], FakeHost]


@pytest.fixture
def here() -> FakeHost:
    host = FakeHost()
    host.name = "this machine"
    return host


@pytest.fixture
def engine_of(monkeypatch: pytest.MonkeyPatch) -> Engines:
    """Say which engine serves which host; a host without one has an engine that does not run."""
    engines: dict[int, FakeEngine] = {}
    monkeypatch.setattr(image_ship, "engine_client", lambda host, timeout=0: engines[id(host)])
    monkeypatch.setattr(
        image_ship, "engine_state", lambda host: EngineState.ANSWERS if id(host) in engines else EngineState.SILENT
    )

    def note(host: FakeHost, engine: FakeEngine) -> FakeHost:
        engines[id(host)] = engine
        return host

    return note


def one_image(layers: Sequence[bytes] = (A, B, A), form: str = "before-25") -> FakeEngine:
    return FakeEngine({TAG: FakeImage("sha256:same", FORMS[form](layers))})


def with_layers(*layers: bytes) -> FakeEngine:
    """An engine that has another image with these layers."""
    return FakeEngine({"other:1": FakeImage("sha256:other", b"", [digest_of(layer) for layer in layers])})


def quiet() -> Report:
    return Report(io.StringIO())


def test_plans_every_image_for_a_host_without_engine(here: FakeHost, engine_of: Engines) -> None:
    """A host whose engine does not run yet is planned to get every image."""
    engine_of(here, one_image())
    operation = ImagesShipped(here, without_engine(installed=False), [TAG, "labelrig/other:1"], quiet())
    assert [change.summary for change in operation.plan()] == [
        f"send {TAG} to the host",
        "send labelrig/other:1 to the host",
    ]


def test_what_an_engine_has_that_does_not_run_is_not_known(here: FakeHost, engine_of: Engines) -> None:
    engine_of(here, one_image())
    operation = ImagesShipped(here, without_engine(installed=True), [TAG], quiet())
    with pytest.raises(CannotKnow, match=r"which images fake host has is known to its engine, which does not run"):
        operation.plan()


def without_engine(*, installed: bool) -> FakeHost:
    host = FakeHost()
    host.script("sh", "-c", LOOK_FOR, "sh", ENGINE, exit_code=0 if installed else 127)
    return host


@pytest.mark.parametrize("form", FORMS)
def test_sends_an_image_once_without_known_layers(form: str, here: FakeHost, engine_of: Engines) -> None:
    """An image travels without the layers that the host has and only once."""
    engine_of(here, one_image([A, B, C], form))
    there = with_layers(A, B)
    host = LoadingHost(there)
    operation = ImagesShipped(here, engine_of(host, there), [TAG], quiet())
    assert [change.summary for change in operation.plan()] == [f"send {TAG} to the host"]
    assert host.received == []
    assert converge([operation], quiet()) == 1
    assert operation.plan() == []
    (received,) = host.received
    assert C in entries_of(received).values()
    assert not {A, B} & set(entries_of(received).values())


def test_an_engine_that_wants_every_layer_gets_the_whole_image(here: FakeHost, engine_of: Engines) -> None:
    engine_of(here, one_image([A, B, C]))
    there = with_layers(A, B)
    host = LoadingHost(there, wants_all=True)
    stream = io.StringIO()
    converge([ImagesShipped(here, engine_of(host, there), [TAG], Report(stream))], quiet())
    first, second = (set(entries_of(one).values()) for one in host.received)
    assert not {A, B} & first
    assert {A, B, C} <= second
    assert "the engine there wants the whole image; sending it again with every layer" in stream.getvalue()


def test_a_whole_image_that_is_refused_is_not_sent_again(here: FakeHost, engine_of: Engines) -> None:
    engine_of(here, one_image())
    host = DeadHost()
    (change,) = ImagesShipped(here, engine_of(host, FakeEngine()), [TAG], quiet()).plan()
    with pytest.raises(CommandFailed, match=r"^lab: no space left on device$"):
        change.apply()
    assert host.commands == [LOAD]


def test_a_host_that_stops_reading_ends_the_sending_at_once(here: FakeHost, engine_of: Engines) -> None:
    """More than a pipe holds: the sender would wait for ever for somebody to read."""
    engine_of(here, one_image([b"x" * 3_000_000, b"y" * 3_000_000]))
    host = DeadHost()
    (change,) = ImagesShipped(here, engine_of(host, FakeEngine()), [TAG], quiet()).plan()
    with pytest.raises(CommandFailed, match="no space left"):
        change.apply()


def test_an_image_that_arrives_as_another_one_is_an_error(here: FakeHost, engine_of: Engines) -> None:
    engine_of(here, one_image())
    there = FakeEngine()
    host = LoadingHost(there, id_after="sha256:else")
    (change,) = ImagesShipped(here, engine_of(host, there), [TAG], quiet()).plan()
    with pytest.raises(HostError) as caught:
        change.apply()
    assert str(caught.value) == (f"lab: {TAG} arrived as sha256:else, sent was sha256:same; repeat the command")


def test_an_image_that_does_not_arrive_is_an_error(here: FakeHost, engine_of: Engines) -> None:
    engine_of(here, one_image())
    there = FakeEngine()
    host = LoadingHost(there)
    (change,) = ImagesShipped(here, engine_of(host, FakeEngine()), [TAG], quiet()).plan()
    with pytest.raises(HostError, match=f"^lab: the engine loaded {TAG} and does not have it; repeat the command$"):
        change.apply()


def test_missing_image_is_an_error_with_a_next_step(here: FakeHost, engine_of: Engines) -> None:
    """An image that is not here is an error that says what to do."""
    engine_of(here, FakeEngine())
    host = LoadingHost(FakeEngine())
    (change,) = ImagesShipped(here, engine_of(host, host.engine), [TAG], quiet()).plan()
    with pytest.raises(HostError) as caught:
        change.apply()
    assert str(caught.value) == (
        f"this machine has no image {TAG} to send; `images: host` in the inventory builds it on the host"
    )
    assert host.received == []


def test_sends_nothing_when_the_local_engine_breaks_off(here: FakeHost, engine_of: Engines) -> None:
    """An engine here that breaks off is an error and nothing is sent."""
    engine = one_image()
    engine.there[TAG].error = APIError("gone")
    engine_of(here, engine)
    host = LoadingHost(FakeEngine())
    (change,) = ImagesShipped(here, engine_of(host, host.engine), [TAG], quiet()).plan()
    with pytest.raises(HostError, match=f"^this machine: the image {TAG} cannot be read: gone$"):
        change.apply()
    assert host.received == []


def test_a_disk_that_is_full_here_is_an_error_that_says_where(
    here: FakeHost, engine_of: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine_of(here, one_image())
    host = LoadingHost(FakeEngine())

    def no_room() -> nullcontext[io.BytesIO]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", no_room)
    (change,) = ImagesShipped(here, engine_of(host, host.engine), [TAG], quiet()).plan()
    with pytest.raises(HostError, match=rf"^this machine: no room for the image {TAG} in /.*: No space left on dev"):
        change.apply()


def test_all_images_layers_count_and_silence_is_an_error() -> None:
    """The layers of every image count, and an engine that does not list them is an error."""
    engine = with_layers(A, B)
    engine.there["empty:1"] = FakeImage("sha256:empty", b"")
    assert known_chains(engine) == set(chains_of(A, B))
    engine.error = APIError("gone")
    with pytest.raises(HostError, match=r"^the docker engine does not list its layers: gone$"):
        known_chains(engine)
