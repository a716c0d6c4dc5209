from __future__ import annotations

import pytest

from core.errors import CannotKnow, CommandTimedOut, HostError
from infra.roles.nvidia.container_check import BARE, TORCH_CUDA, VISIBLE, GpuSeenInContainer, read_torch_cuda
from infra.roles.nvidia.facts import FIELDS, Gpu, smi_query
from tests.fakes import FakeHost

IMAGE = "labelrig/sam2:1"
GPUS = (
    Gpu(0, "NVIDIA A100", "GPU-a", 81920, "580.65.06", (8, 0)),
    Gpu(1, "NVIDIA A100", "GPU-b", 81920, "580.65.06", (8, 0)),
)
BOTH = "0, NVIDIA A100, GPU-a, 81920, 580.65.06\n1, NVIDIA A100, GPU-b, 81920, 580.65.06\n"
INSPECT = ("docker", "image", "inspect", "--format={{.Id}}", IMAGE)
RUN = (*BARE, *VISIBLE, "--entrypoint=nvidia-smi", IMAGE, *smi_query(FIELDS)[1:])
PS = ("docker", "ps", "--quiet", "--no-trunc", f"--filter=ancestor={IMAGE}", "--filter=status=running")


def host(*, image: bool = True) -> FakeHost:
    one = FakeHost()
    one.script(*INSPECT, exit_code=0 if image else 1, stdout="sha256:1\n")
    return one


def check(one: FakeHost, *, applies: bool = True) -> GpuSeenInContainer:
    return GpuSeenInContainer(one, IMAGE, GPUS, applies=applies)


def test_a_container_that_sees_them_all_is_no_change() -> None:
    one = host()
    one.script(*RUN, stdout=BOTH)
    assert check(one).plan() == []
    assert "--network=none" in RUN
    assert "--gpus=all" in RUN


def test_before_the_image_is_there_nobody_knows() -> None:
    for applies in (True, False):
        with pytest.raises(CannotKnow, match="the image labelrig/sam2:1 is not there yet"):
            check(host(image=False), applies=applies).plan()


def test_an_engine_that_does_not_know_the_toolkit_is_one_error() -> None:
    one = host()
    said = 'docker: Error response from daemon: could not select device driver "" with capabilities: [[gpu]].\n'
    one.script(*RUN, exit_code=125, stderr=said)
    with pytest.raises(HostError) as caught:
        check(one).plan()
    assert str(caught.value) == (
        "fake host: the machine sees 2 GPU(s), and a container of labelrig/sam2:1 does not (exit code 125); is "
        "`nvidia` among the runtimes of `docker info`, and does `nvidia-container-cli info` work? Repair that, or set "
        f"`gpu: off`, then repeat the command. Its last lines:\n    {said.strip()}"
    )


def test_a_container_that_sees_fewer_is_one_error() -> None:
    one = host()
    one.script(*RUN, stdout=BOTH.splitlines()[0] + "\n")
    with pytest.raises(HostError, match=r"a container of labelrig/sam2:1 does not see GPU 1 \(NVIDIA A100\)"):
        check(one).plan()


def test_a_container_that_hangs_is_one_error() -> None:
    one = host()
    one.answers[RUN] = CommandTimedOut("fake host: `docker run` did not end in 120 s")
    with pytest.raises(HostError, match="no container sees the GPU: fake host: `docker run` did not end"):
        check(one).plan()


def test_a_plan_asks_the_container_that_runs_and_starts_none() -> None:
    one = host()
    one.script(*PS, stdout="aaa\nbbb\n")
    one.script("docker", "exec", "aaa", *smi_query(FIELDS), exit_code=255)
    one.script("docker", "exec", "bbb", *smi_query(FIELDS), stdout=BOTH)
    assert check(one, applies=False).plan() == []


@pytest.mark.parametrize("running", ["", "aaa\n"])
def test_a_plan_without_a_container_that_sees_them_says_unknown(running: str) -> None:
    one = host()
    one.script(*PS, stdout=running)
    one.script("docker", "exec", "aaa", *smi_query(FIELDS), exit_code=126)
    with pytest.raises(CannotKnow, match="a plan starts none"):
        check(one, applies=False).plan()


@pytest.mark.parametrize(("printed", "cuda"), [("'13.0'\n", "13.0"), ("None\n", None)])
def test_what_the_torch_of_an_image_is_built_for(printed: str, cuda: str | None) -> None:
    one = host()
    one.script(*BARE, "--entrypoint=python", IMAGE, "-c", TORCH_CUDA, stdout=printed)
    assert read_torch_cuda(one, IMAGE) == cuda
    with pytest.raises(CannotKnow):
        read_torch_cuda(host(image=False), IMAGE)
