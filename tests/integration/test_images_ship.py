"""A real engine takes an image without the layers it has, and only then: the archive is its own `docker save`."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from core.errors import CommandFailed, HostError
from core.operation import converge
from core.report import Report
from hosts.local import LocalHost
from infra.roles.docker.client import engine_client
from infra.roles.images import ship as image_ship
from infra.roles.images.archive import Archive, copy_without, files_not_needed, known_chains, read_archive
from infra.roles.images.ship import ImagesShipped

pytestmark = pytest.mark.docker
SMALL, LARGE = 1000, 300_000


@dataclass
class Recorded:
    """The engine of the machine that sends: it has one image, which this machine's engine had a moment ago.

    Both ends of a transfer share the one engine of this machine, so what is sent must be gone from it by then.
    """

    tag: str
    id: str
    content: bytes

    @property
    def images(self) -> Recorded:
        return self

    def get(self, tag: str) -> Recorded:
        assert tag == self.tag
        return self

    def save(self, chunk_size: int, named: str) -> Iterator[bytes]:
        assert named == self.tag
        yield from (self.content[begin : begin + chunk_size] for begin in range(0, len(self.content), chunk_size))

    def close(self) -> None:
        pass


@dataclass
class Pair:
    """Two images, the second built on the first with three layers of its own, of which the last repeats the first."""

    base: str
    image: str
    files: dict[str, bytes]


def docker(*argv: str) -> str:
    return subprocess.run(["docker", *argv], check=True, capture_output=True, text=True, timeout=120).stdout.strip()


def build(folder: Path, tag: str, dockerfile: str, files: dict[str, bytes]) -> None:
    folder.mkdir()
    (folder / "Dockerfile").write_text(dockerfile)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    with closing(engine_client(LocalHost(), 120)) as client:
        client.images.build(path=str(folder), tag=tag, rm=True, forcerm=True)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Nothing of them is in any other image: what they hold is new each time."""
    name = f"labelrig-test-{uuid4().hex[:8]}"
    base, image = f"{name}/base:1", f"{name}/image:1"
    files = {"shared": uuid4().hex.encode() * (LARGE // 32), "own": uuid4().hex.encode() * (SMALL // 32)}
    build(tmp_path / "base", base, "FROM scratch\nCOPY shared /shared\nLABEL kind=base\n", {"shared": files["shared"]})
    build(
        tmp_path / "image",
        image,
        f"FROM {base}\nCOPY own /own\nCOPY own /again/own\nCOPY own /own\n",
        {"own": files["own"]},
    )
    yield Pair(base, image, files)
    subprocess.run(["docker", "rmi", "--force", image, base], capture_output=True, timeout=120, check=False)


def recorded(tag: str) -> Recorded:
    with closing(engine_client(LocalHost(), 120)) as client:
        image = client.images.get(tag)
        return Recorded(tag, image.id, b"".join(image.save(named=tag)))


def layers_there() -> frozenset[str]:
    with closing(engine_client(LocalHost())) as client:
        return known_chains(client)


def opened(content: bytes) -> Archive:
    return read_archive(io.BytesIO(content), len(content))


def loaded(archive: Archive, left_out: frozenset[str], folder: Path) -> int:
    """Load an archive without some of its files; returns how large it was."""
    path = folder / "sent.tar"
    with path.open("wb") as into:
        copy_without(archive, left_out, into, lambda _done: None)
    with path.open("rb") as sent:
        LocalHost().run("docker", "load", "--quiet", stdin=sent, timeout=120)
    return path.stat().st_size


def content_of(tag: str) -> dict[str, bytes]:
    """The files of an image as a container sees them."""
    container = docker("create", tag, "/none")
    try:
        exported = subprocess.run(["docker", "export", container], check=True, capture_output=True, timeout=120).stdout
    finally:
        docker("rm", container)
    with tarfile.open(fileobj=io.BytesIO(exported)) as tar:
        members = {entry.name: tar.extractfile(entry) for entry in tar if entry.isreg()}
        return {name: file.read() for name, file in members.items() if file is not None}


def test_an_image_loads_without_the_layers_that_the_engine_has(pair: Pair, tmp_path: Path) -> None:
    sender = recorded(pair.image)
    archive = opened(sender.content)
    assert len(archive.layers) == 4
    # One of them comes twice: `docker save` writes it once and names it twice.
    assert len(set(json.loads(docker("inspect", "--format", "{{json .RootFS.Layers}}", pair.image)))) == 3
    assert set(archive.chains) <= layers_there()  # our ids are the engine's own
    docker("rmi", pair.image)
    known = layers_there()
    assert [chain in known for chain in archive.chains] == [True, False, False, False]
    left_out = files_not_needed(archive, known)
    assert left_out == {archive.layers[0]}
    assert loaded(archive, left_out, tmp_path) < LARGE < len(sender.content)
    assert docker("inspect", "--format", "{{.Id}}", pair.image) == sender.id
    content = content_of(pair.image)
    assert content["shared"] == pair.files["shared"]
    assert content["own"] == content["again/own"] == pair.files["own"]


def test_the_engine_refuses_an_archive_with_a_missing_layer(pair: Pair, tmp_path: Path) -> None:
    """Else the test above would prove nothing."""
    archive = opened(recorded(pair.image).content)
    docker("rmi", pair.image)
    left_out = files_not_needed(archive, layers_there())
    docker("rmi", pair.base)
    with pytest.raises(CommandFailed):
        loaded(archive, left_out, tmp_path)
    assert files_not_needed(archive, layers_there()) == frozenset()


@pytest.fixture
def sent_from_a_recording(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> tuple[ImagesShipped, Recorded, Report]:
    """The operation that sends the second image to this machine's engine, which has only the first one."""
    here, there = LocalHost(), LocalHost()
    sender = recorded(pair.image)
    docker("rmi", pair.image)

    def client(host: LocalHost, *how: Any) -> Any:
        return sender if host is here else engine_client(host, *how)

    monkeypatch.setattr(image_ship, "engine_client", client)
    report = Report(io.StringIO())
    return ImagesShipped(here, there, [pair.image], report), sender, report


def test_an_image_is_sent_once_and_is_the_same_there(
    pair: Pair, sent_from_a_recording: tuple[ImagesShipped, Recorded, Report]
) -> None:
    operation, sender, report = sent_from_a_recording
    with report.stage("images"):
        assert converge([operation], report) == 1
        assert converge([operation], report) == 0
    assert report.stages[0].changed == [f"send {pair.image} to the host"]
    assert docker("inspect", "--format", "{{.Id}}", pair.image) == sender.id


def test_a_damaged_archive_is_an_error_and_nothing_arrives(
    pair: Pair, sent_from_a_recording: tuple[ImagesShipped, Recorded, Report]
) -> None:
    """An archive that is damaged on the way is an error and nothing arrives."""
    operation, sender, _ = sent_from_a_recording
    at = sender.content.index(pair.files["own"])
    sender.content = sender.content[:at] + b"!" + sender.content[at + 1 :]
    (change,) = operation.plan()
    with pytest.raises(HostError):
        change.apply()
    with pytest.raises(subprocess.CalledProcessError):
        docker("inspect", pair.image)
