"""An export is there as a whole or not at all, whatever goes wrong on the way."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import textwrap

import httpx
import pytest
from PIL import Image

from core.errors import LabelrigError, LabelStudioError, SettingsError
from core.repository import REPOSITORY
from labelstudio.models import Project
from tests.unit.dataset.export_bench import ExportBench


def test_what_is_there_is_never_replaced_without_force(exports: ExportBench, project: Project) -> None:
    exports.export(project, "coco")
    with pytest.raises(SettingsError, match=r"/out is there already; --force replaces it"):
        exports.export(project, "png")
    exports.export(project, "png", force=True)
    assert exports.json("out/manifest.json")["format"] == "png"
    assert not (exports.folder / "out" / "annotations.json").exists()
    assert sorted(one.name for one in exports.folder.iterdir()) == ["classes.lock", "out"]


def test_force_replaces_exports_only(exports: ExportBench, project: Project) -> None:
    thesis = exports.folder / "out" / "thesis.tex"
    thesis.parent.mkdir()
    thesis.write_text("years")
    with pytest.raises(
        SettingsError, match=r"/out is no export \(it has no manifest.json\): --force does not replace it"
    ):
        exports.export(project, "coco", force=True)
    assert thesis.read_text() == "years"


def test_a_server_that_goes_away_leaves_nothing(exports: ExportBench, project: Project) -> None:
    exports.export(project, "coco")
    before = (exports.folder / "out" / "manifest.json").read_bytes()
    calls: list[int] = []

    def gone(request: httpx.Request) -> httpx.Response:
        calls.append(1)
        if len(calls) == 2:
            raise httpx.ReadError("connection reset")
        return exports.server._tasks(request)

    exports.server.overrides["GET /api/tasks"] = gone
    with pytest.raises(LabelStudioError, match=r"the connection to Label Studio at .* broke off"):
        exports.export(project, "png", "other")
    calls.clear()
    with pytest.raises(LabelStudioError, match="broke off"):
        exports.export(project, "png", force=True)
    assert sorted(one.name for one in exports.folder.iterdir()) == ["classes.lock", "out"]
    assert (exports.folder / "out" / "manifest.json").read_bytes() == before


def test_a_disk_that_refuses_is_told(exports: ExportBench, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    (exports.folder / "file").write_text("")
    with pytest.raises(LabelrigError, match=r"cannot write the export .*/file/out: (Not a directory|File exists)"):
        exports.export(project, "coco", "file/out")

    def full(*_ignored: object, **_words: object) -> None:
        raise OSError(28, "No space left on device", "/somewhere/a.png")

    monkeypatch.setattr(Image.Image, "save", full)
    message = r"cannot write the export .*/out: No space left on device \(/somewhere/a\.png\)"
    with pytest.raises(LabelrigError, match=message):
        exports.export(project, "png")
    assert not list(exports.folder.glob("*out*"))


KILLED = """
    import sys
    from pathlib import Path
    from dataset.export.folder import whole_folder
    with whole_folder(Path(sys.argv[1]), force=False) as folder:
        (folder / "masks").mkdir()
        (folder / "masks" / "half.png").write_bytes(b"half")
        print("ready", flush=True)
        sys.stdin.read()
"""


def test_a_killed_export_leaves_nothing_half_made(exports: ExportBench, project: Project) -> None:
    command = (sys.executable, "-c", textwrap.dedent(KILLED), str(exports.folder / "out"))
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        with pytest.raises(LabelrigError, match=r"another export to .*/out is running"):
            exports.export(project, "png")
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=20)
    assert not (exports.folder / "out").exists()
    exports.export(project, "png")
    assert not list(exports.folder.glob("**/half.png"))
    assert not list(exports.folder.glob(".out*"))


def test_the_lock_of_a_folder_ends_with_it(exports: ExportBench, project: Project) -> None:
    exports.export(project, "coco")
    handle = os.open(exports.folder / "out", os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(handle)
