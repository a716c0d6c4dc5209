"""Whether a bundle has what a machine lacks, all problems at once."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from infra.bundle.reading import Bundle
from infra.roles.nvidia.facts import Gpu, GpuFacts
from infra.roles.preflight import bundle as checked
from infra.roles.preflight.bundle import BundleUse, bundle_needs, bundle_problems
from infra.roles.preflight.checks import DISK_TO_RUN
from tests.fakes import FakeHost
from tests.unit.infra.bundle.making import PARTS, made

SERVICES = ("db", "label-studio", "sam2", "proxy")
DEBIAN_12 = b'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n'
UBUNTU = b'PRETTY_NAME="Ubuntu 24.04.3 LTS"\nID=ubuntu\nVERSION_ID="24.04"\n'
ROCKY = b'PRETTY_NAME="Rocky Linux 9"\nID=rocky\nVERSION_ID="9.4"\n'
A_GPU = GpuFacts(module="580.95.05", smi=0, gpus=(Gpu(0, "NVIDIA A30", "GPU-1", 24000, "580.95.05", (8, 0)),))
TOOLKIT = ("dpkg-query", "-W", "-f", "${db:Status-Status}|${Version}", "nvidia-container-toolkit")


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checked, "read_gpu", lambda _host: GpuFacts())


def machine(os_release: bytes = DEBIAN_12, processor: str = "x86_64") -> FakeHost:
    host = FakeHost()
    host.files["/etc/os-release"] = os_release
    host.script("uname", "-m", stdout=f"{processor}\n")
    return host


def problems(
    bundle: Bundle, host: FakeHost, *, ready: bool = False, images: Collection[str] = (), **wishes: Any
) -> list[str]:
    values: dict[str, Any] = {"services": SERVICES, "model": "tiny", **wishes}
    return bundle_problems(host, BundleUse(bundle, **values), ready=ready, images=images)


@pytest.mark.parametrize("model", ["tiny", "demo", "auto"])
def test_a_bundle_that_fits(tmp_path: Path, model: str) -> None:
    assert problems(made(tmp_path), machine(), model=model) == []


def test_every_problem_is_in_one_list(tmp_path: Path) -> None:
    """Another processor, another system, a service, a lab's own image and a model that are not there."""
    found = problems(
        made(tmp_path, images={}, models={}), machine(UBUNTU, "aarch64"), own={"sam2": "lab/sam2:7"}, model="large"
    )
    assert found == [
        "the bundle is for the processor x86_64, and this machine's is aarch64",
        "the bundle's packages are for debian12, and this is Ubuntu 24.04.3 LTS; make one with "
        "`./inv bundle.create --for ubuntu24.04`",
        "the bundle has no image for db, label-studio, proxy; make it again",
        "the image lab/sam2:7 (of the inventory) is not here, and no bundle holds a lab's own image; `docker load` it",
        "the model large is not in the bundle (there: demo); make it again with `./inv bundle.create --model large`, "
        "or choose another model",
    ]


def test_the_system_does_not_matter_where_docker_is(tmp_path: Path) -> None:
    bundle = made(tmp_path)
    assert problems(bundle, machine(ROCKY), ready=True) == []
    (problem,) = problems(bundle, machine(ROCKY))
    assert problem.endswith("this is Rocky Linux 9; install Docker Engine with the compose plugin first")


def test_a_labs_own_image_that_is_there_is_enough(tmp_path: Path) -> None:
    assert problems(made(tmp_path), machine(), own={"sam2": "lab/sam2:7"}, images=["lab/sam2:7"], ready=True) == []


def test_a_gpu_needs_the_toolkit_of_the_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checked, "read_gpu", lambda _host: A_GPU)
    host = machine()
    host.script(*TOOLKIT, exit_code=1)
    without = made(tmp_path)
    (problem,) = problems(without, host, torch_cuda="13.0")
    assert problem.startswith("the bundle has no nvidia-container-toolkit, which hands the GPU to containers; make it")
    assert problems(without, host, torch_cuda="13.0", gpu="off") == []
    assert problems(made(tmp_path, packages={"nvidia-container-toolkit": "1.18.0-1"}), host, torch_cuda="13.0") == []
    host.script(*TOOLKIT, stdout="installed|1.18.0-1")
    assert problems(without, host, torch_cuda="13.0") == []


def test_the_space_that_its_parts_need(tmp_path: Path) -> None:
    bundle = made(tmp_path)
    use = BundleUse(bundle, SERVICES, "tiny")
    image, weights = len(PARTS["images/sam2-1.tar"]), len(PARTS["models/tiny.pt"])
    packages = sum(len(content) for name, content in PARTS.items() if name.startswith("packages/"))
    assert bundle_needs(use, "/var/lib/docker", has_images=False, ready=False) == {
        "images and volumes": ("/var/lib/docker", DISK_TO_RUN + image + weights),
        "packages": ("/var/tmp", 4 * packages),
    }
    assert bundle_needs(use, "/d", has_images=True, ready=True) == {"images and volumes": ("/d", DISK_TO_RUN + weights)}
