"""The check "a container of our image sees the GPUs": the proof that NVIDIA documents, with our own image."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from core.errors import CannotKnow, CommandTimedOut, HostError
from core.operation import Change
from core.text import indented
from hosts.base import ANY_EXIT_CODE, Host, Result
from infra.roles.docker.compose import run_docker
from infra.roles.nvidia.facts import FIELDS, Gpu, parse_gpus, smi_query

RUN_TIMEOUT = 120.0
BARE = (
    "docker",
    "run",
    "--rm",
    "--pull=never",
    "--network=none",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges:true",
)
VISIBLE = ("--gpus=all", "--env=NVIDIA_VISIBLE_DEVICES=all", "--env=NVIDIA_DRIVER_CAPABILITIES=compute,utility")
# The file and not the package: importing torch takes seconds.
TORCH_CUDA = (
    "import runpy, sysconfig; "
    "print(repr(runpy.run_path(sysconfig.get_path('purelib') + '/torch/version.py').get('cuda')))"
)


class GpuSeenInContainer:
    """`nvidia-smi` inside a container of the image lists every GPU of the machine. Changes nothing.

    It is done each time: it takes a second, and a driver, toolkit or engine that was updated since shows here and
    not in the first click. A plan starts no container; there the one that runs already is asked.
    """

    name = "GPUs visible inside a container of our image"

    def __init__(self, host: Host, image: str, gpus: Sequence[Gpu], *, applies: bool) -> None:
        """Keep what is needed; nothing is read yet.

        Args:
            image: the image of the SAM2 backend.
            gpus: what nvidia-smi lists on the machine itself.
            applies: False in a plan (see `core.operation.Runner.applies`).
        """
        self._host = host
        self._image = image
        self._gpus = gpus
        self._applies = applies

    def plan(self) -> list[Change]:
        """See `core.operation.Operation.plan`. Never returns a change.

        Raises:
            CannotKnow: the image is not there yet; or this is a plan, and no container of the image runs.
            HostError: a container does not see what the machine sees.
        """
        if not run_docker(self._host, "docker", "image", "inspect", "--format={{.Id}}", self._image, ok=(0, 1)).ok:
            raise CannotKnow(f"the image {self._image} is not there yet")
        if not self._applies:
            return self._ask_running()
        query = smi_query(FIELDS)
        try:
            answer = run_docker(
                self._host, *BARE, *VISIBLE, f"--entrypoint={query[0]}", self._image, *query[1:],
                ok=ANY_EXIT_CODE, timeout=RUN_TIMEOUT,
            )  # fmt: skip
        except CommandTimedOut as error:
            raise HostError(f"{self._host.name}: no container sees the GPU: {error}") from error
        if problem := self._problem(answer):
            raise HostError(
                f"{self._host.name}: the machine sees {len(self._gpus)} GPU(s), and {problem}; is `nvidia` among "
                "the runtimes of `docker info`, and does `nvidia-container-cli info` work? Repair that, or set "
                f"`gpu: off`, then repeat the command. Its last lines:\n{indented(answer.stdout + answer.stderr)}"
            )
        return []

    def _ask_running(self) -> list[Change]:
        filters = (f"--filter=ancestor={self._image}", "--filter=status=running")
        listed = run_docker(self._host, "docker", "ps", "--quiet", "--no-trunc", *filters)
        for container in listed.stdout.split():
            answer = run_docker(
                self._host, "docker", "exec", container, *smi_query(FIELDS), ok=ANY_EXIT_CODE, timeout=RUN_TIMEOUT
            )
            if self._problem(answer) is None:
                return []
        raise CannotKnow("only a new container can say, and a plan starts none")

    def _problem(self, answer: Result) -> str | None:
        if not answer.ok:
            return f"a container of {self._image} does not (exit code {answer.exit_code})"
        seen = {gpu.uuid for gpu in parse_gpus(answer.stdout)}
        missing = [gpu for gpu in self._gpus if gpu.uuid not in seen]
        if missing:
            names = ", ".join(f"{gpu.index} ({gpu.name})" for gpu in missing)
            return f"a container of {self._image} does not see GPU {names}"
        return None


def read_torch_cuda(host: Host, image: str) -> str | None:
    """The CUDA version that the torch in the image is built for, such as "13.0"; None for a CPU build.

    Raises:
        CannotKnow: the image is not there.
        HostError: there is no torch in it.
    """
    if not run_docker(host, "docker", "image", "inspect", "--format={{.Id}}", image, ok=(0, 1)).ok:
        raise CannotKnow(f"the image {image} is not there yet")
    answer = run_docker(host, *BARE, "--entrypoint=python", image, "-c", TORCH_CUDA, timeout=RUN_TIMEOUT)
    version = ast.literal_eval(answer.stdout.strip())
    return str(version) if version is not None else None
