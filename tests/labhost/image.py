"""The image of a lab host: made from the project's own base image, once for each version of its files."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from core.errors import CommandFailed
from core.report import Report
from core.repository import REPOSITORY
from hosts.local import LocalHost
from infra.roles.docker.compose import Compose
from tests.base_image import base_image, own_base
from tests.labhost.machine_settings import MachineSettings

HERE = Path(__file__).parent
FILES = ("Dockerfile", "boot.sh", "sshd.conf")
# Carries the clone's path, so that two clones on one machine do not take each other's things away.
CLONE = hashlib.sha256(str(REPOSITORY).encode()).hexdigest()[:6]
LABEL = "org.labelrig.labhost"
REPOSITORY_NAME = "labelrig/labhost"
BUILD_TIMEOUT = 900.0


def lab_image(settings: MachineSettings, report: Report) -> str:
    """The tag of the image, which is built where the engine has not got it; older ones of this clone are removed."""
    host = LocalHost()
    base = own_base(report).sam2
    digest = hashlib.sha256(base.encode())
    for name in FILES:
        digest.update((HERE / name).read_bytes())
    tag = f"{REPOSITORY_NAME}:{digest.hexdigest()[:12]}"
    if not _has(host, tag):
        base_image(report, f"labelrig-labhost-{CLONE}")
        _build(host, tag, base, settings, report)
    _remove_others(host, tag)
    return tag


def _has(host: LocalHost, tag: str) -> bool:
    return host.run("docker", "image", "inspect", "--format", "{{.Id}}", tag, ok=(0, 1)).ok


def _build(host: LocalHost, tag: str, base: str, settings: MachineSettings, report: Report) -> None:
    folder = Path(tempfile.mkdtemp(prefix="labhost-build-"))
    try:
        context = folder / "context"
        context.mkdir()
        for name in FILES:
            shutil.copyfile(HERE / name, context / name)
        for name, file in settings.apt.items():
            path = context / "machine" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=file.mode)
            path.write_bytes(file.content)
        variables = folder / "build.env"
        variables.write_text(
            f"LABHOST_IMAGE='{tag}'\nLABHOST_BASE='{base}'\nLABHOST_CONTEXT='{context}'\nLABHOST_CLONE='{CLONE}'\n"
        )
        compose = Compose(host, "labelrig-labhost-build", [str(HERE / "build.yaml")], str(variables))
        host.run(
            "env", "DOCKER_BUILDKIT=1", *compose.argv("--progress", "plain", "build"),
            timeout=BUILD_TIMEOUT, on_line=report.progress,
        )  # fmt: skip
    finally:
        shutil.rmtree(folder)


def _remove_others(host: LocalHost, tag: str) -> None:
    listed = host.run(
        "docker", "image", "ls", "--filter", f"label={LABEL}={CLONE}", "--format", "{{.Repository}}:{{.Tag}}|{{.ID}}"
    )
    for line in listed.stdout.splitlines():
        name, _, number = line.partition("|")
        if name != tag:
            with suppress(CommandFailed):  # a container of another run may still use it
                host.run("docker", "image", "rm", number if "<none>" in name else name)
