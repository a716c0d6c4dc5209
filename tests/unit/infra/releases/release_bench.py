"""Files and facts for the tests of releases."""

from __future__ import annotations

from datetime import UTC, datetime

from infra.database.state import DatabaseState
from infra.releases.manifest import FileFacts, Gate, ImageRef, Manifest, Release, ReleaseFacts, ReleaseId
from infra.roles.stack.render import RenderedFile

NOW = datetime(2025, 3, 1, 10, 0, 0, 250, tzinfo=UTC)
SECRET = "hunter2hunter2"
SQLITE = DatabaseState("sqlite", 400, "d" * 64, "i")
FACTS = ReleaseFacts(
    commit="607e07e0" + "a" * 32,
    dirty=False,
    by="alice@desk",
    images={"sam2": ImageRef(tag="labelrig/sam2:1", id="sha256:s1")},
    model="demo",
    database="sqlite",
    folders=("/NAS/A",),
)


def files(compose: str = "services: {}\n", *, secret: str = SECRET, folder: str = "/anywhere") -> list[RenderedFile]:
    return [
        RenderedFile(f"{folder}/stack.env", f"A='1'\nLABEL_STUDIO_PASSWORD='{secret}'\n".encode(), 0o600),
        RenderedFile(f"{folder}/compose.yaml", compose.encode(), 0o644),
        RenderedFile(f"{folder}/blob.bin", b"\xff\x00", 0o640),
    ]


class Clock:
    """A wall clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def release(number: int, gate: Gate = "passed", **changes: object) -> Release:
    """A release that lies whole on its host, made in minute `number`."""
    moment = datetime(2025, 3, 1, 10, number, tzinfo=UTC)
    found = {"compose.yaml": FileFacts(sha256="a", mode=0o644)}
    values: dict[str, object] = {
        **dict(FACTS),
        "made_at": "",
        "gate": gate,
        "files": found,
        "database_state": SQLITE,
        **changes,
    }
    return Release(ReleaseId(moment, "607e07e"), Manifest.model_validate(values), found)
