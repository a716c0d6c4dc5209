"""The limits of the containers on machines of several sizes."""

from __future__ import annotations

import pytest
import yaml

from infra.config.settings import Settings
from infra.roles.stack.render import COMPOSE_SOURCES, stack_values
from infra.roles.stack.sizes import (
    LEAST_MB,
    Limits,
    MachineSize,
    container_limits,
    limit_values,
    machine_size,
    web_processes,
)
from tests.fakes import FakeHost

MEMINFO = b"MemTotal:       %d kB\nMemAvailable:   100 kB\n"
STATUS = b"Name:\tcat\nCpus_allowed:\t10f\nCpus_allowed_list:\t0-2,8\nMems_allowed_list:\t0\n"


@pytest.mark.parametrize(
    ("machine", "sam2", "label_studio", "db", "work_mb"),
    [
        (MachineSize(8, 2), Limits(4608, 2, 544), Limits(1536, 1, 544), Limits(768, 1, 288), 512),
        (MachineSize(32, 16), Limits(18432, 16, 768), Limits(6912, 8, 768), Limits(3072, 8, 512), 2048),
        (MachineSize(256, 64), Limits(147456, 64, 1536), Limits(57088, 32, 1536), Limits(24576, 32, 1280), 4096),
    ],
    ids=["8 GB", "32 GB", "256 GB"],
)
def test_machines_of_several_sizes(
    machine: MachineSize, sam2: Limits, label_studio: Limits, db: Limits, work_mb: int
) -> None:
    limits = container_limits(machine)
    proxy = Limits(256, label_studio.cpus, db.pids)
    assert limits == {"sam2": sam2, "label-studio": label_studio, "db": db, "proxy": proxy}
    system = machine.memory_gb * 1024 - sum(one.memory_mb for one in limits.values())
    assert system >= 1024
    assert limit_values(limits)["LABELRIG_WORK_MEMORY_MB"] == str(work_mb)


def test_setting_divides_what_it_says() -> None:
    assert container_limits(MachineSize(256, 4), 7) == container_limits(MachineSize(8, 4))


def test_each_has_what_it_needs_on_a_small_machine() -> None:
    assert {name: one.memory_mb for name, one in container_limits(MachineSize(4, 1)).items()} == LEAST_MB


@pytest.mark.parametrize("kilobytes", [8_146_000, 8_388_608, 8_500_000])
def test_size_of_a_machine_is_rounded(kilobytes: int) -> None:
    """A machine never shows all of its memory, and another kernel shows some more or less."""
    host = FakeHost()
    host.files |= {"/proc/meminfo": MEMINFO % kilobytes, "/proc/self/status": STATUS}
    assert machine_size(host) == MachineSize(8, 4)
    assert machine_size(FakeHost()) == MachineSize(8, 2)


def test_every_container_has_its_limits() -> None:
    documents = [
        yaml.safe_load((COMPOSE_SOURCES / name).read_text()) for name in ("compose.yaml", "postgres.yaml", "proxy.yaml")
    ]
    services = {name: one for document in documents[::-1] for name, one in document["services"].items()}
    writer = services.pop("secrets-writer")
    for name, service in services.items():
        variable = f"LABELRIG_{name.upper().replace('-', '_')}"
        assert service["mem_limit"] == f"${{{variable}_MEMORY_MB:?}}m"
        assert service["cpus"] == f"${{{variable}_CPUS:?}}"
        assert service["pids_limit"] == f"${{{variable}_PIDS:?}}"
    once = yaml.safe_load((COMPOSE_SOURCES / "fetch.yaml").read_text())["services"]["fetch"]
    for one in (once, writer):
        assert {"mem_limit", "cpus", "pids_limit"} <= set(one)


def test_limits_reach_the_stack() -> None:
    secrets = {"LABEL_STUDIO_PASSWORD": "pass-word-1234", "LABEL_STUDIO_SECRET_KEY": "key-key-key-key"}
    images = {"label-studio": "a:1", "sam2": "b:1", "proxy": "c:1"}
    chosen = Settings.model_validate(secrets).model_copy(update={"memory_gb": 28})
    assert stack_values(chosen, images, "demo")["LABELRIG_SAM2_MEMORY_MB"] == "18432"
    assert "LABELRIG_DB_MEMORY_MB" not in stack_values(chosen, images, "demo")


@pytest.mark.parametrize(
    ("machine", "wanted"),
    [
        (MachineSize(4, 1), (2, 16)),
        (MachineSize(8, 2), (2, 16)),
        (MachineSize(32, 4), (5, 16)),
        (MachineSize(256, 64), (8, 10)),
    ],
)
def test_processes_fit_the_machine(machine: MachineSize, wanted: tuple[int, int]) -> None:
    """Their memory fits, and they open no more connections than the database takes."""
    limits = container_limits(machine)["label-studio"]
    assert web_processes(machine, limits) == wanted
    values = stack_values(
        Settings.model_validate(
            {"LABEL_STUDIO_PASSWORD": "pass-word-1234", "LABEL_STUDIO_SECRET_KEY": "key-key-key-key"}
        ),
        {"label-studio": "a:1", "sam2": "b:1", "proxy": "c:1"},
        "demo",
        machine,
    )
    assert (values["LABELRIG_WEB_PROCESSES"], values["LABELRIG_WEB_THREADS"]) == tuple(map(str, wanted))
