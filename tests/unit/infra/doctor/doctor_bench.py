"""A stack in which every link holds, on fakes at each seam; a test breaks one of them."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import httpx
from docker.errors import ImageNotFound, NotFound
from PIL import Image

from core.report import Report
from core.repository import REPOSITORY
from hosts.base import Result, check_exit_code
from infra.config.settings import Settings
from infra.doctor import inside
from infra.doctor.diagnosis import Finding
from infra.doctor.host_checks import MISSING
from infra.doctor.inspection import Inspection
from infra.roles.images.packages import Offered
from infra.roles.images.suites import Behind
from infra.roles.images.tags import HAPROXY
from infra.roles.nvidia.container_check import TORCH_CUDA
from infra.roles.nvidia.facts import CAPABILITY, FIELDS, LIBRARY_SCRIPT, PCI_SCRIPT, smi_query
from infra.roles.project.ask_backend import ASK_BACKEND
from infra.roles.project.backend_token import ACCOUNT
from infra.roles.stack.image_folders import ImageFolder, render_folders
from infra.roles.stack.render import IMAGE_VARIABLES
from infra.stack.site import Site
from labeling.image_names import file_pattern
from labelstudio.access import Access
from labelstudio.config import load_project
from tests.fakes import FakeHost
from tests.unit.labelstudio.labelstudio_fake import BASE, EMAIL, PASSWORD, FakeLabelStudio

FOLDER = ImageFolder("set", "/data/set")
COMPOSE = ("docker", "compose", "--project-name", "labelrig", "--env-file", "/stack/stack.env")
FILES = ("--file", "/stack/compose.yaml", "--file", "/stack/proxy.yaml", "--file", "/stack/machine.yaml")
LOOK = (
    *("/stack/stack.env", "/stack/compose.yaml", "/stack/proxy.yaml", "/stack/machine.yaml"),
    *("/stack/folders.json", "/.env"),
)
SMI = smi_query((*FIELDS, CAPABILITY))
SMI_INSIDE = smi_query(FIELDS)
GPU_LINE = "0, NVIDIA H100, GPU-1, 81559, 580.65.06"
MODULE = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Mon\n"
SECRETS = {
    "LABEL_STUDIO_PASSWORD": PASSWORD,
    "LABEL_STUDIO_SECRET_KEY": "the-key-of-the-stack",
    "LABELRIG_BACKEND_PASSWORD": "of-the-backend",
}
MEMINFO = "MemTotal:       16777216 kB\nMemFree:  1 kB\nMemAvailable:   {available} kB\n"
MEMINFO = "MemTotal:       16777216 kB\nMemFree:  1 kB\nMemAvailable:   {available} kB\n"
HEALTH = {
    "state": "ready",
    "model": "demo",
    "model_version": "demo@1",
    "device": "cpu",
    "engine": "torch-bfloat16",
}


@dataclass
class FakeContainer:
    """What the SDK says of a container."""

    service: str
    env: list[str] = field(default_factory=list)
    status: str = "running"
    health: str = "healthy"
    restarts: int = 0
    exit_code: int = 0
    gpu: bool = False
    mounts: list[str] = field(default_factory=lambda: [FOLDER.mount])
    started: str = "2026-11-26T06:00:00.123456789Z"
    hash: str = "aaa"
    log: bytes = b"one\nboom\n"
    inside: dict[str, bytes] = field(
        default_factory=lambda: {
            "/usr/lib/os-release": b"ID=debian\nVERSION_CODENAME=bookworm\n",
            "/var/lib/dpkg/status": b"Package: openssl\n",
        }
    )

    @property
    def name(self) -> str:
        return f"labelrig-{self.service}-1"

    @property
    def labels(self) -> dict[str, str]:
        return {"com.docker.compose.config-hash": self.hash}

    @property
    def attrs(self) -> dict[str, Any]:
        requests = [{"Driver": "nvidia", "Count": -1, "Capabilities": [["gpu"]]}] if self.gpu else None
        return {
            "State": {
                "Status": self.status,
                "Health": {"Status": self.health, "Log": [{"Output": "503 still\n loading"}]},
                "ExitCode": self.exit_code,
                "OOMKilled": False,
                "StartedAt": self.started,
                "FinishedAt": "2026-11-26T07:00:00.5Z",
            },
            "RestartCount": self.restarts,
            "Config": {"Env": self.env, "Image": f"labelrig/{self.service}:1"},
            "Image": f"sha256:{self.service}",
            "Created": "2026-11-26T05:59:00.5Z",
            "HostConfig": {"DeviceRequests": requests},
            "Mounts": [{"Destination": one} for one in self.mounts],
        }

    def logs(self, tail: int) -> bytes:
        return self.log

    def get_archive(self, path: str) -> tuple[list[bytes], dict[str, Any]]:
        if path not in self.inside:
            raise NotFound(f"Could not find the file {path} in container")
        packed, content = io.BytesIO(), self.inside[path]
        with tarfile.open(fileobj=packed, mode="w") as archive:
            entry = tarfile.TarInfo(path.rpartition("/")[2])
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        return [packed.getvalue()[:700], packed.getvalue()[700:]], {}


class FakeEngine:
    """Stands for the engine's client and for its `containers`."""

    def __init__(self) -> None:
        self.there = {
            "label-studio": FakeContainer(
                "label-studio", ["PATH=/bin", "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT=/label-studio/files"]
            ),
            "sam2": FakeContainer("sam2", ["LABEL_STUDIO_URL=http://label-studio:8080"]),
            "proxy": FakeContainer("proxy"),
        }
        self.facts: dict[str, Any] = {
            "DockerRootDir": "/var/lib/docker",
            "SystemTime": "2026-11-26T09:05:00.5+02:00",
            "Runtimes": {"runc": {}},
        }
        self.error: Exception | None = None
        self.closed = False
        self.tags = {"labelrig/label-studio:1", "labelrig/sam2:1", "labelrig/proxy:1"}
        self.made = "2026-11-24T10:00:00.123456789Z"
        self.images = SimpleNamespace(get=self._image)

    def _image(self, tag: str) -> SimpleNamespace:
        by_id = {f"sha256:{name.partition('/')[2].partition(':')[0]}": name for name in self.tags}
        if by_id.get(tag, tag) not in self.tags:
            raise ImageNotFound(f"no such image: {tag}")
        return SimpleNamespace(tags=[by_id.get(tag, tag)], attrs={"Created": self.made})

    @property
    def containers(self) -> FakeEngine:
        return self

    def list(self, *, all: bool, filters: dict[str, list[str]], ignore_removed: bool) -> list[FakeContainer]:
        if self.error is not None:
            raise self.error
        assert "com.docker.compose.project=labelrig" in filters["label"]
        return [one for one in self.there.values() if f"com.docker.compose.service={one.service}" in filters["label"]]

    def get(self, name: str) -> FakeContainer:
        (found,) = [one for one in self.there.values() if one.name == name]
        return found

    def version(self) -> dict[str, str]:
        if self.error is not None:
            raise self.error
        return {"Version": "28.0.1"}

    def info(self) -> dict[str, Any]:
        return self.facts

    def close(self) -> None:
        self.closed = True


class FakeExec:
    """One container's answers, by the program or command that is run in it. What is not scripted raises."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.answers: dict[str, dict[str, Any] | str | Exception] = {}
        self.exit_codes: dict[str, int] = {}

    def __call__(
        self,
        *argv: str,
        ok: Collection[int] = (0,),
        timeout: float = 60.0,
        stdin: bytes | None = None,
        on_line: Callable[[str], None] | None = None,
        tail: int | None = None,
    ) -> Result:
        key = argv[2] if argv[:2] in (("python3", "-c"), ("python", "-c")) else argv[0]
        if argv[:3] == ASK_BACKEND:
            key = " ".join(argv[3:])
        answer = self.answers[key]
        if isinstance(answer, Exception):
            raise answer
        said = answer if isinstance(answer, str) else json.dumps(answer)
        return check_exit_code(self.service, Result(argv, self.exit_codes.get(key, 0), said, ""), ok)


class FakeSuites:
    """What the Debian suites offer: `behind` is what each container lacks."""

    def __init__(self) -> None:
        self.now = Offered({"openssl": "3.0.22-1"}, checked=1.8e9)
        self.lacking: list[Behind] = []
        self.asked: list[bytes] = []

    def offered(self, _names: Collection[str], _report: Report) -> Offered:
        return self.now

    def behind(self, status: bytes) -> list[Behind]:
        self.asked.append(status)
        return self.lacking


class DoctorBench:
    """Everything that an inspection looks at."""

    def __init__(self) -> None:
        self.server = FakeLabelStudio()
        self.engine = FakeEngine()
        self.waits: list[int] = []  # the time-out of each client of the engine that was opened
        self.token: str | None = self.server.token()
        self.spec = load_project(REPOSITORY, "rgbt-sar")
        self.execs = {service: FakeExec(service) for service in ("label-studio", "sam2", "proxy")}
        self.settings = Settings.model_validate({"LABELRIG_DATA": FOLDER.path, **SECRETS})
        self.gpu = False
        self.daemon: dict[str, object] = {}
        self.suites = FakeSuites()
        self.host = self._machine()
        self._fill_label_studio()
        self._fill_containers()

    def _machine(self) -> FakeHost:
        host = FakeHost()
        host.files["/stack/folders.json"] = render_folders([FOLDER])
        host.files["/proc/meminfo"] = MEMINFO.format(available=8 * 1024**2).encode()
        host.files["/proc/meminfo"] = MEMINFO.format(available=8 * 1024**2).encode()
        host.script("docker", "compose", "version", "--short", stdout="2.26.1\n")
        host.script("uname", "-m", stdout="x86_64\n")
        host.script(*COMPOSE, *FILES, "config", "--hash", "*", stdout="label-studio aaa\nsam2 aaa\nproxy aaa\n")
        host.script("sh", "-c", MISSING, "sh", *LOOK)
        host.script("stat", "-L", "-c", "%a", "--", "/.env", stdout="600\n")
        services = [one for one in IMAGE_VARIABLES if one not in ("db", HAPROXY)]
        env = "".join(f"{IMAGE_VARIABLES[one]}='labelrig/{one}:1'\n" for one in services)
        host.files["/stack/stack.env"] = env.encode()
        host.script("test", "-d", FOLDER.path)
        host.script("test", "-f", f"{FOLDER.path}/a b.png")
        host.script("sh", "-c", PCI_SCRIPT)
        host.script("sh", "-c", LIBRARY_SCRIPT)
        host.script(*SMI, exit_code=127)
        return host

    def with_gpu(self) -> None:
        """A host with a working GPU, which the stack uses."""
        self.host.script("sh", "-c", PCI_SCRIPT, stdout="0000:01:00.0 0x10de 0x030200 nvidia\n")
        self.host.files["/proc/driver/nvidia/version"] = MODULE.encode()
        library = "libc6,x86-64|/usr/lib/libnvidia-ml.so.580.65.06\n"
        self.host.script("sh", "-c", LIBRARY_SCRIPT, stdout=library)
        self.host.script(*SMI, stdout=f"{GPU_LINE}, 9.0\n")
        self.engine.facts["Runtimes"] = {"runc": {}, "nvidia": {}}
        self.engine.there["sam2"].gpu = True
        sam2 = self.execs["sam2"].answers
        sam2[TORCH_CUDA] = "'13.0'\n"
        sam2[SMI_INSIDE[0]] = f"{GPU_LINE}\n"
        sam2["GET /health"] = HEALTH | {"device": "cuda:0"}

    def _fill_label_studio(self) -> None:
        server = self.server
        self.project = server.new_id()
        server.projects[self.project] = {
            "id": self.project,
            "title": self.spec.title,
            "description": "",
            "label_config": self.spec.labeling.text,
            "show_collab_predictions": True,
        }
        self.storage = server.new_id()
        server.storages[self.storage] = {
            "id": self.storage,
            "project": self.project,
            "path": FOLDER.mount,
            "title": "set",
            "regex_filter": file_pattern(self.spec.images_filter),
            "use_blob_urls": True,
            "recursive_scan": True,
        }
        self.task = server.add_task(self.project, "/data/local-files/?d=set/a%20b.png")
        self.backend = server.new_id()
        server.backends[self.backend] = {
            "id": self.backend,
            "project": self.project,
            "url": "http://sam2:9090",
            "title": "SAM2",
            "is_interactive": True,
            "state": "CO",
            "model_version": "demo@1",
        }
        picture = io.BytesIO()
        Image.new("RGB", (16, 12)).save(picture, "PNG")
        self.image = picture.getvalue()
        server.overrides["GET /health"] = lambda _: httpx.Response(200)
        server.overrides["GET /data/local-files"] = lambda _: httpx.Response(200, content=self.image)

    def _fill_containers(self) -> None:
        label_studio, sam2 = (self.execs[name].answers for name in ("label-studio", "sam2"))
        label_studio[inside.REACH] = {"step": "done", "said": "172.31.250.3", "status": 200}
        sam2[inside.REACH] = {"step": "done", "said": "172.31.250.2", "status": 200}
        for one in (label_studio, sam2, self.execs["proxy"].answers):
            one[inside.FIRST_IMAGE] = {"path": f"{FOLDER.mount}/a b.png", "bytes": 16}
        sam2[inside.DIGEST] = {"sha256": hashlib.sha256(self.image).hexdigest()}
        sam2["cat"] = self.server.token(ACCOUNT)
        sam2 |= {"GET /health": HEALTH, "GET /metrics": ""}
        sam2[TORCH_CUDA] = "'13.0'\n"

    def site(self) -> Site:
        site = Site(self.host, self.settings, "/stack", "/stack", "/.env", lambda: self.settings)
        return replace(site, gpu=self.gpu)

    def inspection(self) -> Inspection:
        access = Access(BASE, EMAIL, PASSWORD, self.token, self.server.transport)
        return Inspection(
            self.site(),
            self.spec,
            Report(io.StringIO()),
            None,
            self.daemon,
            engine=self._open_engine,
            access=access,
            execs=self.execs,
            suites=self._suites,
        )

    def _open_engine(self, _host: object, timeout: int) -> FakeEngine:
        self.waits.append(timeout)
        return self.engine

    def _suites(self, machine: str) -> Any:
        assert machine == "x86_64"
        return self.suites

    def ask(self, check: Callable[[Inspection], Finding]) -> Finding:
        """What one check finds on its own."""
        look = self.inspection()
        try:
            return check(look)
        finally:
            look.close()


def both(*spoils: Callable[[DoctorBench], object]) -> Callable[[DoctorBench], None]:
    """Break several things."""

    def spoil(bench: DoctorBench) -> None:
        for one in spoils:
            one(bench)

    return spoil


def container(service: str, **changes: object) -> Callable[[DoctorBench], None]:
    """Change what the engine says of a container."""

    def spoil(bench: DoctorBench) -> None:
        for name, value in changes.items():
            setattr(bench.engine.there[service], name, value)

    return spoil


def project(**changes: object) -> Callable[[DoctorBench], None]:
    """Change the project in Label Studio."""
    return lambda bench: bench.server.projects[bench.project].update(changes)
