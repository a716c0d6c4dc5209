"""Lab hosts for tests. A conftest imports what it needs from here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from core.report import Report
from demo.images import draw_demo_images
from tests.labhost.host import LabHost, remove_stale
from tests.labhost.image import lab_image
from tests.labhost.machine_settings import MachineSettings, read_machine_settings

# As people name files on a NAS. The order is that of the demo scenes: "scene-01" is the first.
PICTURES = (
    "mar abierto 01.png",
    "Búsqueda Ñuñoa (térmica).png",
    "cañón & río #3.png",
    "vuelo nº 2/niño señal.png",
)

MakeLabHost = Callable[[], LabHost]


@pytest.fixture(scope="session")
def lab_settings() -> MachineSettings:
    """How this machine reaches its mirror; also the moment in which a killed run's leftovers go."""
    remove_stale()
    return read_machine_settings()


@pytest.fixture(scope="session")
def lab_host_image(lab_settings: MachineSettings) -> str:
    return lab_image(lab_settings, Report())


@pytest.fixture(scope="session")
def lab_scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with `images/scene-NN.png` and `truth/`, of which a lab host has the images."""
    folder = tmp_path_factory.mktemp("scenes")
    draw_demo_images(folder, count=len(PICTURES))
    return folder


@pytest.fixture(scope="session")
def lab_pictures(lab_scenes: Path) -> dict[str, Path]:
    """The path of each picture below the lab host's data folder, and the file here that it is a copy of."""
    return {name: lab_scenes / "images" / f"scene-{number:02}.png" for number, name in enumerate(PICTURES, 1)}


@pytest.fixture(scope="session")
def lab_host(
    lab_host_image: str,
    lab_settings: MachineSettings,
    lab_pictures: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[LabHost]:
    """One lab host for the session."""
    with ExitStack() as removals:
        yield _start(lab_host_image, lab_settings, lab_pictures, tmp_path_factory, removals)


@pytest.fixture
def make_lab_host(
    lab_host_image: str,
    lab_settings: MachineSettings,
    lab_pictures: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[MakeLabHost]:
    """Makes further ones, each bare; all are removed after the test."""
    with ExitStack() as removals:
        yield lambda: _start(lab_host_image, lab_settings, lab_pictures, tmp_path_factory, removals)


def _start(
    image: str,
    settings: MachineSettings,
    pictures: dict[str, Path],
    folders: pytest.TempPathFactory,
    removals: ExitStack,
) -> LabHost:
    host = LabHost(image, folders.mktemp("lab-host"))
    removals.callback(host.remove)
    host.start(settings, pictures)
    return host
