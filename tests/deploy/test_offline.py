"""From a bare host that reaches nothing to a proven click, out of one file that was made here."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from core.repository import REPOSITORY
from tests.deploy.command import Lab
from tests.labhost.fixtures import MakeLabHost
from tests.warm_python import run_inv

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]
ELSEWHERE = "unix:///nonexistent/docker.sock"
WAYS_OUT = """
getent ahosts example.org && exit 1
timeout 5 bash -c '</dev/tcp/1.1.1.1/443' && exit 1
timeout 5 bash -c "</dev/tcp/$1/22" && exit 1
exit 0
"""


@dataclass(frozen=True)
class OfflineLab(Lab):
    """A lab whose laptop has no Docker engine and no index either, and never asked what Debian offers."""

    def environment(self) -> dict[str, str]:
        dead = {f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https")}
        own = {"DOCKER_HOST": ELSEWHERE, "XDG_CACHE_HOME": str(self.folder / ".cache")}
        return super().environment() | own | dead


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, images_here: None) -> Iterator[Path]:
    """Made with `./inv bundle.create`; LABELRIG_TEST_BUNDLE names one of this tree that is there already."""
    given = os.environ.get("LABELRIG_TEST_BUNDLE")
    if given:
        yield Path(given)
        return
    folder = tmp_path_factory.mktemp("bundle")
    out = folder / "bundle.tar"
    # The lab host's system is that of our own base image.
    words = ("bundle.create", "--for", "debian12", "--model", "demo", "--out", str(out), "--json")
    done = run_inv(REPOSITORY, *words, environment=dict(os.environ), folder=folder, timeout=1200)
    assert done.returncode == 0, done.stderr
    yield out
    out.unlink()


def test_a_host_that_reaches_nothing(bundle: Path, make_lab_host: MakeLabHost, tmp_path: Path) -> None:
    """No other test installs Docker from a file, and no other host is proven to have reached nothing."""
    host = make_lab_host()
    gateway = host.exec("sh", "-c", "ip -4 route show default").stdout.split()[2]
    host.cut_off()
    host.wait_for_ssh()
    closed = host.exec("bash", "-c", WAYS_OUT, "bash", gateway, check=False, timeout=120)
    assert closed.returncode == 0, closed.stdout
    lab = OfflineLab(tmp_path, {"lab1": host})

    foreign = tmp_path / "notes.tar"
    foreign.write_text("no bundle")
    refused = lab.inv("deploy", "--host", "lab1", "--yes", "--bundle", str(foreign))
    assert refused.code == 2
    assert "notes.tar is not a bundle of labelrig" in refused.err

    wrong = lab.inv("plan", "--host", "lab1", "--bundle", str(bundle), "--model", "large")
    assert wrong.code == 3, wrong.said
    assert "the model large is not in the bundle (there: demo)" in wrong.said

    plan = lab.inv("plan", "--host", "lab1", "--bundle", str(bundle), "--json")
    assert plan.code == 0, plan.said
    assert any(change.startswith("install docker.io") for change in plan.changed())
    assert any(change.startswith("send labelrig/sam2:") for change in plan.changed())
    assert host.files("/srv") == {}

    deploy = lab.inv("deploy", "--host", "lab1", "--yes", "--bundle", str(bundle), "--json")
    assert deploy.code == 0, deploy.said
    (told,) = deploy.json["hosts"]
    assert told["proof"]["covered"] > 0
    closed = host.exec("bash", "-c", WAYS_OUT, "bash", gateway, check=False, timeout=120)
    assert closed.returncode == 0, closed.stdout

    again = lab.inv("deploy", "--host", "lab1", "--yes", "--bundle", str(bundle), "--json")
    assert again.code == 0, again.said
    assert again.changed() == []
    left = host.exec("find", "/var/tmp", "/etc/apt", "-name", "*labelrig*").stdout
    assert left == ""
    assert not (tmp_path / ".cache" / "labelrig").exists()  # what Debian offers was not asked for


def test_a_clone_without_an_index_starts_from_it(bundle: Path, tmp_path: Path) -> None:
    """`inv` with the real pip: each wheel satisfies the lock."""
    packed = subprocess.run(("git", "archive", "HEAD"), cwd=REPOSITORY, capture_output=True, check=True, timeout=60)
    subprocess.run(("tar", "-x", "-C", tmp_path), input=packed.stdout, check=True, timeout=60)
    environment = os.environ | {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": "http://127.0.0.1:9/simple"}
    environment.pop("PIP_FIND_LINKS", None)
    done = subprocess.run(
        (tmp_path / "inv", "--version"), env=environment | {"LABELRIG_BUNDLE": str(bundle)},
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.lower().startswith("labelrig ")
    assert (tmp_path / ".venv" / "bin" / "invoke").exists()
