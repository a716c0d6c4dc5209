"""The project stage's operations on one fake Label Studio and one fake machine."""

from __future__ import annotations

import io
from pathlib import Path

from core.operation import Operation, converge
from core.report import Report
from core.repository import REPOSITORY
from infra.roles.project.backend_logins import BackendLoginsKnown
from infra.roles.project.labeling import Migration
from infra.roles.project.ml_backend import BackendRegistered
from infra.roles.project.project import ProjectPresent
from infra.roles.project.storage import ImagesSynced, StorageConnected
from labeling.image_names import skipped_folders_in_find
from labelstudio.access import Access
from labelstudio.config import ProjectSpec, load_project
from labelstudio.filling import Pace
from labelstudio.models import BasicAuth
from tests.fakes import FakeHost
from tests.unit.labelstudio.inside_fake import InsideFake
from tests.unit.labelstudio.labelstudio_fake import (
    BASE,
    EMAIL,
    PASSWORD,
    ROOT,
    FakeLabelStudio,
)

FOLDER = "/data/set"
BACKEND = "http://sam2:9090"
LOGIN = BasicAuth("labelrig-0123456789abcdef", "password-of-the-backend")
SKIPPED = (*skipped_folders_in_find(), "-printf", r"dd%P\0", "-prune")
FIND = (
    *("find", "-H", FOLDER, "-mindepth", "1", *SKIPPED),
    *("-o", "(", "-type", "f", "-o", "-type", "l", ")", "-printf", r"%y%Y%P\0"),
)


def no_secret(path: str, _content: bytes) -> None:
    """Where no secret may be written."""
    raise AssertionError(f"wrote {path}")


class Clock:
    """Time that passes only when somebody sleeps, and a little with each look."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 0.01
        return self.now

    def sleep(self, seconds: float, /) -> None:
        self.now += seconds


class Bench:
    """The operations on one fake server and one fake machine."""

    def __init__(self) -> None:
        self.server = FakeLabelStudio()
        self.host = FakeHost()
        self.inside = InsideFake({"fill": self.server.fill, "pages": lambda asked: {"seen": len(asked["files"])}})
        self.access = Access(BASE, EMAIL, PASSWORD, self.server.token(), self.server.transport)
        self.spec: ProjectSpec = load_project(REPOSITORY, "rgbt-sar")
        self.report = Report(io.StringIO())
        self.migration = Migration()
        self.keep: Path | None = None
        self.put("a.png", "b c.png")

    def put(self, *paths: str, links: tuple[str, ...] = (), folders: tuple[str, ...] = ()) -> None:
        """These files, and no others, lie in the image folder; `folders` are those that are not entered."""
        entries = [*(f"ff{one}" for one in paths), *(f"lf{one}" for one in links), *(f"dd{one}" for one in folders)]
        self.host.script(*FIND, stdout="".join(f"{one}\0" for one in entries))
        self.server.folder = [f"set/{path}" for path in (*paths, *links, *(f"{one}/a.png" for one in folders))]

    def operations(self) -> list[Operation]:
        storage = StorageConnected(self.access, self.spec, self.host, FOLDER, ROOT, "set")
        pace = Pace(look=0.05, stalled=10.0, clock=Clock())
        return [
            ProjectPresent(self.access, self.spec, self.inside, self.report, self.migration, self.keep),
            storage,
            ImagesSynced(self.access, self.spec, self.host, FOLDER, storage, self.inside, self.report, pace),
            BackendLoginsKnown(self.access, BACKEND, LOGIN),
            BackendRegistered(self.access, self.spec, BACKEND, self.report, LOGIN, patience=0.0),
        ]

    def apply(self) -> list[str]:
        report = Report(io.StringIO())
        converge(self.operations(), report)
        return report.stages[0].changed

    @property
    def project(self) -> int:
        return int(next(iter(self.server.projects)))
