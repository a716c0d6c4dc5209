"""`python -m infra.dev.environment`: installs what the tests need into the environment that runs it."""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from core.errors import LabelrigError
from core.report import Report
from core.repository import REPOSITORY
from hosts.base import Host
from hosts.local import LocalHost
from infra.roles.images.pip_settings import read_pip_settings
from infra.roles.images.wheels import LINKS_PAGE, links_page, read_pins, sha256_of

PIP = (
    "-m",
    "pip",
    "install",
    "--disable-pip-version-check",
    "--no-input",
    "--no-compile",
    "--progress-bar",
    "off",
)
LOCKS = (
    *("backend.lock", "dev.lock", "torch.lock", "torch-cuda.lock"),
    *("sam2-build.lock", "sam2.lock", "reference.in", "s3-server.lock", "cluster.lock"),
)
# Ends with 0 where the torch that is installed is a CUDA build, which wants packages beside it.
WANTS_CUDA = (
    "import importlib.metadata, sys; needs = importlib.metadata.requires('torch') or (); "
    "sys.exit(not any(need.startswith(('cuda-', 'nvidia-', 'triton')) for need in needs))"
)
INSTALL_TIMEOUT = 1800.0


def s3_server_folder() -> Path:
    """The packages of the tests' S3 server: apart from ours, as both want a version of the same package."""
    return Path(sys.prefix) / "s3-server"


def cluster_folder() -> Path:
    """Ray and what it needs: apart from ours, as uvicorn runs on another event loop wherever it finds uvloop."""
    return Path(sys.prefix) / "cluster"


def main() -> int:
    """Returns: the exit code."""
    report = Report()
    try:
        with report.stage("test environment"):
            install_test_environment(LocalHost(), report)
    except LabelrigError as error:
        report.info(f"error: {error}")
        return error.exit_code
    return 0


def install_test_environment(host: Host, report: Report) -> None:
    """Install what the tests need into the environment that runs us, once for each version of the locks."""
    requirements = REPOSITORY / "requirements"
    locks = [requirements / name for name in LOCKS]
    digest = hashlib.sha256(b"".join(lock.read_bytes() for lock in locks)).hexdigest()
    stamp = Path(sys.prefix) / ".test-digest"
    if stamp.exists() and stamp.read_text() == digest:
        return
    backend, dev, torch, cuda, build, sam2, reference, s3, cluster = (str(lock) for lock in locks)
    hashed = ("--no-deps", "--require-hashes")
    first: Sequence[tuple[str, ...]] = ((*hashed, "-r", backend, "-r", dev, "-r", build),)
    then: Sequence[tuple[str, ...]] = (
        # sam2 names torch as a build requirement: isolated, its build would fetch a second one.
        (*hashed, "--no-build-isolation", "-r", sam2),
        ("--no-deps", "-r", reference),
        (*hashed, "--target", str(s3_server_folder()), "-r", s3),
        (*hashed, "--target", str(cluster_folder()), "-r", cluster),
    )
    for folder in (s3_server_folder(), cluster_folder()):
        shutil.rmtree(folder, ignore_errors=True)  # pip replaces nothing there
    _install(host, report, first)
    with _wheels_here(host, Path(torch)) as page:
        _install(host, report, [(*hashed, "--find-links", page, "-r", torch)])
    if host.run(sys.executable, "-c", WANTS_CUDA, ok=(0, 1)).ok:
        _install(host, report, [(*hashed, "-r", cuda)])
    _install(host, report, then)
    stamp.write_text(digest)


@contextmanager
def _wheels_here(host: Host, lock: Path) -> Iterator[str]:
    """A page with the wheels of a lock of one package that lie where pip's settings look; see `links_page`."""
    (pin,) = read_pins(lock.read_text("utf-8"))
    there = [path for folder in read_pip_settings(host).link_folders for path in Path(folder).glob("*.whl")]
    named = [path for path in there if path.name.startswith(f"{pin.requirement.name}-")]
    found = {path.resolve().as_uri(): sha256_of(path) for path in named}
    with TemporaryDirectory() as folder:
        page = Path(folder) / LINKS_PAGE
        page.write_text(links_page({uri: digest for uri, digest in found.items() if digest in pin.hashes}), "utf-8")
        yield str(page)


def _install(host: Host, report: Report, steps: Sequence[tuple[str, ...]]) -> None:
    for step in steps:
        report.changing(f"pip install {Path(step[-1]).name}")
        host.run(
            "env",
            "SAM2_BUILD_CUDA=0",
            sys.executable,
            *PIP,
            *step,
            timeout=INSTALL_TIMEOUT,
            on_line=report.progress,
        )


if __name__ == "__main__":
    sys.exit(main())
