"""Downloads from a server that truncates, corrupts, stalls, refuses ranges, fails, or changes its file."""

from __future__ import annotations

import hashlib
import io
import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from backend.errors import DownloadError
from backend.weights import checkpoints
from backend.weights.catalog import Catalog, ModelSpec
from backend.weights.download import Downloader, Limits, Wanted
from backend.weights.progress import Progress
from tests.integration.backend.origin import Origin, corrupt, replace, served, stall, status, truncate

REPOSITORY = Path(__file__).parents[3]
CONTENT = np.random.default_rng(3).bytes(3_000_000)
OTHER = np.random.default_rng(4).bytes(len(CONTENT))
QUICK = Limits(connect_seconds=5, read_seconds=0.3, attempts=3, backoff_seconds=0.0)


@pytest.fixture
def origin() -> Iterator[Origin]:
    with served(Origin(CONTENT)) as origin:
        yield origin


class Fetching:
    """One download into a folder, its screen, and the pauses it made."""

    def __init__(self, origin: Origin, folder: Path, content: bytes = CONTENT, size: int | None = None) -> None:
        self.target = folder / "models" / "weights.pt"
        self.screen = io.StringIO()
        self.pauses: list[float] = []
        self._wanted = Wanted("tiny", f"{origin.url}weights.pt", self.target, hashlib.sha256(content).hexdigest(), size)

    def run(self, limits: Limits = QUICK) -> bool:
        progress = Progress("tiny", self.screen)
        return Downloader(self._wanted, progress, limits, pause=self.pauses.append).fetch()

    def fails(self, limits: Limits = QUICK) -> str:
        with pytest.raises(DownloadError) as caught:
            self.run(limits)
        assert not self.target.exists()
        return str(caught.value)

    def left_over(self) -> set[str]:
        """Suffixes of what lies beside the target."""
        return {path.name.removeprefix("weights.pt") for path in self.target.parent.iterdir()} - {""}


@pytest.fixture
def fetching(origin: Origin, tmp_path: Path) -> Fetching:
    return Fetching(origin, tmp_path, size=len(CONTENT))


def test_plain(origin: Origin, fetching: Fetching) -> None:
    assert fetching.run() is True
    assert fetching.target.read_bytes() == CONTENT
    assert fetching.left_over() == {".lock", ".verified"}
    assert fetching.target.stat().st_mode & 0o777 == 0o644


def test_second_time_asks_for_nothing(origin: Origin, fetching: Fetching) -> None:
    fetching.run()
    origin.requests.clear()
    assert fetching.run() is False
    assert origin.requests == []


def test_unknown_size(origin: Origin, tmp_path: Path) -> None:
    fetching = Fetching(origin, tmp_path, size=None)
    assert fetching.run() is True
    assert fetching.target.read_bytes() == CONTENT


def test_truncated_transfers_are_resumed(origin: Origin, fetching: Fetching) -> None:
    origin.faults = [truncate(1_000_000), truncate(500_000)]
    fetching.run()
    assert fetching.target.read_bytes() == CONTENT
    # How much arrives before the connection breaks is up to the system; that it goes on from there is not.
    first, second, third = origin.gets
    assert "Range" not in first
    assert 0 < int(second["Range"][6:-1]) <= 1_000_000
    assert int(second["Range"][6:-1]) <= int(third["Range"][6:-1]) <= 1_500_000
    assert second["If-Range"] == origin.etag


def test_stalled_transfer_is_resumed(origin: Origin, fetching: Fetching) -> None:
    origin.faults = [stall(1_000_000)]
    fetching.run()
    assert fetching.target.read_bytes() == CONTENT
    assert origin.gets[1]["Range"] == "bytes=1000000-"


def test_trickle_is_a_stall(origin: Origin, fetching: Fetching) -> None:
    message = fetching.fails(Limits(stall_seconds=0.0, stall_bytes=10**9, attempts=1))
    assert re.search(r"could not be fetched: only \d+ bytes in 0 s; \d+ bytes are kept", message)


def test_next_process_goes_on_where_the_last_gave_up(origin: Origin, fetching: Fetching) -> None:
    origin.faults = [stall(1_000_000), stall(0), stall(0)]
    message = fetching.fails()
    assert message.startswith(f"{origin.url}weights.pt could not be fetched: ")
    assert message.endswith("1000000 bytes are kept and the same command goes on from there")
    assert fetching.pauses == [0.0, 0.0]
    assert fetching.left_over() == {".lock", ".part", ".part.etag"}
    origin.requests.clear()
    fetching.run()
    assert [one["Range"] for one in origin.gets] == ["bytes=1000000-"]
    assert fetching.target.read_bytes() == CONTENT


def test_server_without_ranges_starts_again(origin: Origin, fetching: Fetching) -> None:
    origin.ranges = False
    origin.faults = [stall(1_000_000)]
    fetching.run()
    assert fetching.target.read_bytes() == CONTENT


def test_changed_file_is_not_mixed(origin: Origin, tmp_path: Path) -> None:
    fetching = Fetching(origin, tmp_path, content=OTHER, size=len(OTHER))
    origin.faults = [stall(1_000_000), replace(OTHER)]
    fetching.run()
    assert fetching.target.read_bytes() == OTHER
    assert len(origin.gets) == 2


def test_corrupt_file_is_deleted(origin: Origin, fetching: Fetching) -> None:
    origin.faults = [corrupt]
    message = fetching.fails()
    assert message.startswith(f"{origin.url}weights.pt gave a file with SHA-256 ")
    assert message.endswith(
        f"expected {hashlib.sha256(CONTENT).hexdigest()}; it was deleted. Something on the way changed it: "
        "check the proxy or the --base-url"
    )
    assert fetching.left_over() == {".lock"}


def test_corrupt_after_resuming_is_tried_once_from_zero(origin: Origin, fetching: Fetching) -> None:
    fetching.target.parent.mkdir()
    fetching.target.with_name("weights.pt.part").write_bytes(OTHER[:1_000_000])
    fetching.run()
    assert fetching.target.read_bytes() == CONTENT
    assert [one.get("Range") for one in origin.gets] == ["bytes=1000000-", None]
    assert "tiny: the resumed file is damaged; starting again from zero" in fetching.screen.getvalue()


def test_complete_part_is_only_verified(origin: Origin, fetching: Fetching) -> None:
    fetching.target.parent.mkdir()
    fetching.target.with_name("weights.pt.part").write_bytes(CONTENT)
    fetching.run()
    assert fetching.target.read_bytes() == CONTENT
    assert [one.get("Range") for one in origin.gets] == [f"bytes={len(CONTENT)}-"]


def test_part_longer_than_the_file_is_dropped(origin: Origin, fetching: Fetching) -> None:
    fetching.target.parent.mkdir()
    fetching.target.with_name("weights.pt.part").write_bytes(CONTENT + b"more")
    fetching.run()
    assert fetching.target.read_bytes() == CONTENT


def test_wrong_target_is_replaced(origin: Origin, fetching: Fetching) -> None:
    fetching.target.parent.mkdir()
    fetching.target.write_bytes(b"torn")
    assert fetching.run() is True
    assert fetching.target.read_bytes() == CONTENT
    assert f"{fetching.target} is not the file it should be; it will be replaced" in fetching.screen.getvalue()


@pytest.mark.parametrize("code", [429, 500, 503])
def test_passing_server_errors_are_tried_again(origin: Origin, fetching: Fetching, code: int) -> None:
    origin.faults = [status(code), status(code)]
    fetching.run(Limits(attempts=3, backoff_seconds=2.0))
    assert fetching.target.read_bytes() == CONTENT
    assert fetching.pauses == [2.0, 4.0]


def test_a_server_that_is_not_there_is_said_after_seconds(tmp_path: Path) -> None:
    with socket.socket() as nobody:  # bound, and never listening: every connection is refused
        nobody.bind(("127.0.0.1", 0))
        nowhere = Origin(CONTENT, url=f"http://127.0.0.1:{nobody.getsockname()[1]}/")
        fetching = Fetching(nowhere, tmp_path)
        message = fetching.fails(Limits())
    assert message.startswith(f"{nowhere.url}weights.pt could not be fetched: [Errno 111] Connection refused")
    assert fetching.pauses == [1.0, 2.0]


def test_a_server_that_goes_while_it_sends_is_waited_for(origin: Origin, fetching: Fetching) -> None:
    origin.faults = [truncate(1_000_000)] + [status(503)] * 4
    fetching.run(Limits())
    assert fetching.target.read_bytes() == CONTENT
    assert len(fetching.pauses) == 5


def test_lasting_server_error(origin: Origin, fetching: Fetching) -> None:
    origin.faults = [status(500)] * 3
    assert fetching.fails() == (
        f"{origin.url}weights.pt could not be fetched: the server answered 500 Internal Server Error; "
        "0 bytes are kept and the same command goes on from there"
    )


@pytest.mark.parametrize(("code", "phrase"), [(404, "Not Found"), (403, "Forbidden")])
def test_refusal_is_final(origin: Origin, fetching: Fetching, code: int, phrase: str) -> None:
    origin.faults = [status(code)]
    assert fetching.fails() == (
        f"{origin.url}weights.pt answered {code} {phrase}; check the --base-url, or fetch the file elsewhere "
        f"and put it at {fetching.target}"
    )
    assert len(origin.gets) == 1


def test_another_length_is_refused_before_a_byte_is_written(origin: Origin, tmp_path: Path) -> None:
    fetching = Fetching(origin, tmp_path, size=77)
    assert fetching.fails() == (
        f"{origin.url}weights.pt offers 3000000 bytes, but tiny has 77; is it a login page or a proxy's message?"
    )
    assert fetching.left_over() == {".lock"}


def test_nobody_listens(origin: Origin, tmp_path: Path) -> None:
    closed = Origin(CONTENT)
    with served(closed):
        pass
    message = Fetching(closed, tmp_path, size=len(CONTENT)).fails()
    assert message.startswith(f"{closed.url}weights.pt could not be fetched: ")


def test_full_disk_is_said_before_the_download(
    origin: Origin, fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=5_000_000))
    assert fetching.fails() == (f"tiny needs 70 MB in {fetching.target.parent}, but 5 MB are free; free space there")


def test_folder_that_cannot_be_made(origin: Origin, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file")
    fetching = Fetching(origin, tmp_path, size=len(CONTENT))
    with pytest.raises(DownloadError, match=r"^cannot write tiny to .*/models: File exists; check the folder's"):
        fetching.run()


def test_progress_shows_bytes_share_rate_and_time(origin: Origin) -> None:
    now, screen = [0.0], io.StringIO()
    progress = Progress("tiny", screen, clock=lambda: now[0])
    progress.begin(1_000_000)
    progress.update(1_500_000, 3_000_000)
    now[0] = 5.0
    progress.update(2_000_000, 3_000_000)
    now[0] = 6.0
    progress.update(2_100_000, 3_000_000)
    now[0] = 11.0
    progress.update(2_500_000, None)
    assert screen.getvalue().splitlines() == [
        "tiny: 2.0 of 3.0 MB (66 %), 0.2 MB/s, 5 s left",
        "tiny: 2.5 MB, 0.1 MB/s",
    ]


def catalog_of(origin: Origin) -> Catalog:
    spec = ModelSpec.model_validate(
        {
            "config": "configs/sam2.1/sam2.1_hiera_t.yaml",
            "file": "weights.pt",
            "bytes": len(CONTENT),
            "sha256": hashlib.sha256(CONTENT).hexdigest(),
        }
    )
    return Catalog(base_url=origin.url, models=dict.fromkeys(("tiny", "small", "base-plus", "large"), spec))


def test_auto_fetches_what_fits_the_machine(origin: Origin, tmp_path: Path) -> None:
    target = tmp_path / "weights.pt"
    for on_cuda, name in ((False, "tiny"), (True, "base-plus")):
        target.unlink(missing_ok=True)
        report = checkpoints.fetch_auto(catalog_of(origin), tmp_path, origin.url, on_cuda=on_cuda)
        assert report == {"model": name, "path": str(target), "bytes": len(CONTENT), "downloaded": True}


def test_auto_takes_what_is_there_without_a_network(origin: Origin, tmp_path: Path) -> None:
    (tmp_path / "weights.pt").write_bytes(CONTENT)
    report = checkpoints.fetch_auto(catalog_of(origin), tmp_path, origin.url, on_cuda=False)
    assert report["downloaded"] is False
    assert origin.requests == []


def test_auto_without_the_file_is_the_demo_loudly(
    origin: Origin, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    origin.faults = [status(404)]
    report = checkpoints.fetch_auto(catalog_of(origin), tmp_path, origin.url, on_cuda=False)
    assert report["model"] == "demo"
    assert str(report["reason"]).startswith(f"{origin.url}weights.pt answered 404 Not Found")
    shouted = capsys.readouterr().err
    assert "!! THE DEMO MODEL IS USED. It knows drawn scenes only; it is not for real images." in shouted


def test_probe_does_not_wait_for_a_dead_host() -> None:
    closed = Origin(CONTENT)
    with served(closed):
        pass
    assert str(checkpoints.probe(f"{closed.url}weights.pt", 5)).startswith("127.0.0.1 cannot be reached (")


COMMAND = (sys.executable, "-m", "backend.weights.checkpoints", "fetch")


def test_two_processes_at_once_download_once(origin: Origin, tmp_path: Path) -> None:
    program = (
        "import sys, hashlib, json\n"
        "from pathlib import Path\n"
        "from backend.weights.download import Downloader, Wanted\n"
        "from backend.weights.progress import Progress\n"
        "url, target, sha256 = sys.argv[1:]\n"
        "wanted = Wanted('tiny', url, Path(target), sha256, None)\n"
        "sys.stdout.write(str(Downloader(wanted, Progress('tiny')).fetch()))\n"
    )
    target = tmp_path / "weights.pt"
    arguments = (f"{origin.url}weights.pt", str(target), hashlib.sha256(CONTENT).hexdigest())
    running = [
        subprocess.Popen((sys.executable, "-c", program, *arguments), cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    answers = [process.communicate(timeout=60)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    assert sorted(answers) == ["False", "False", "True"]
    assert target.read_bytes() == CONTENT
    assert len(origin.gets) == 1


def run_command(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (*COMMAND, *arguments), cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False, input=stdin
    )


def test_command_falls_back_to_the_demo(tmp_path: Path) -> None:
    closed = Origin(CONTENT)
    with served(closed):
        pass
    done = run_command("auto", "--dir", str(tmp_path), "--base-url", closed.url)
    assert done.returncode == 0
    assert json.loads(done.stdout)["model"] == "demo"
    assert "!! THE DEMO MODEL IS USED" in done.stderr


@pytest.mark.parametrize("from_stdin", [False, True])
def test_command_refuses_the_wrong_file(origin: Origin, tmp_path: Path, from_stdin: bool) -> None:
    """The address of the mirror is an argument, or where it has a login, a line of standard input."""
    url, line = ("-", f"{origin.url}\n") if from_stdin else (origin.url, "")
    done = run_command("tiny", "--dir", str(tmp_path), "--base-url", url, stdin=line)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        f"{origin.url}sam2.1_hiera_tiny.pt offers 3000000 bytes, but tiny has 156008466; "
        "is it a login page or a proxy's message?\n"
    )


@pytest.mark.parametrize(
    "arguments", [("huge", "--dir", "x"), ("tiny",), ("tiny", "--dir", "x", "--base-url", "ftp://x")]
)
def test_command_with_wrong_arguments(arguments: tuple[str, ...]) -> None:
    done = run_command(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: python -m backend.weights.checkpoints")
