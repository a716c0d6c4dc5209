"""The real backend as a process of its own on a free port, and what the machine reports about that process."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.bench.clicks import detail_of, exchange
from tools.bench.results import EngineFailed
from tools.bench.worker import last_words

START_SECONDS = 600.0  # with the conversion of a large model for an engine
STOP_SECONDS = 15.0
IDLE_SECONDS = 0.4
IDLE_TIMES = 2  # on a busy machine a process that only waits for its turn seems idle once
POLL_SECONDS = 0.1
RUNNING_ON = re.compile(r"running on https?://[^\s:]+:(\d+)")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Backend:
    """The process.

    Attributes:
        port: on 127.0.0.1; 0 until it listens.
        ready_seconds: from the start of the process until a click would be answered.
    """

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process, self._log = process, log
        self.port, self.ready_seconds = 0, 0.0

    def health(self) -> dict[str, Any]:
        """What the backend reports about itself."""
        return self._get("/health")

    def embed(self, urls: Sequence[str], seconds: float) -> float:
        """Have the backend encode images onto the disk, as `./inv embed` does.

        Returns:
            Images a second: read, encoded and written.

        Raises:
            EngineFailed: an image was not encoded, or not in so many seconds.
        """
        body = json.dumps({"key": "bench", "images": [{"url": url} for url in urls]}).encode()
        response, answer = exchange(self.port, "POST", "/embed", body)
        if response.status != 202:
            raise EngineFailed(f"the backend answered /embed with {response.status}: {detail_of(answer)}")
        job = json.loads(answer)["job"]
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = self._get(f"/embed/{job}")
            if found["state"] not in ("waiting", "running"):
                if found["encoded"] != len(urls):
                    raise EngineFailed(f"the backend encoded {found['encoded']} of {len(urls)}: {found['problem']}")
                return float(found["images_per_second"])
            time.sleep(POLL_SECONDS)
        raise EngineFailed(f"the backend did not encode {len(urls)} images in {seconds:.0f} s")

    def memory_mb(self, line: str = "VmRSS") -> float:
        """Resident memory in MB (10^6 bytes); `VmHWM` is the highest so far."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        return int(status.split(f"{line}:")[1].split()[0]) * 1024 / 1e6

    def wait_until_idle(self, seconds: float) -> bool:
        """Wait until the process uses no processor time; False where it still works after that many seconds."""
        deadline = time.monotonic() + seconds
        used, idle = self._processor_seconds(), 0
        while time.monotonic() < deadline:
            time.sleep(IDLE_SECONDS)
            used, before = self._processor_seconds(), used
            idle = idle + 1 if used - before < 0.1 * IDLE_SECONDS else 0
            if idle == IDLE_TIMES:
                return True
        return False

    def wait_until_ready(self) -> None:
        """Wait until a click would be answered.

        Raises:
            EngineFailed: the process ended, its model could not be loaded, or the time was up.
        """
        began = time.monotonic()
        while (seconds := time.monotonic() - began) < START_SECONDS:
            if self._process.poll() is not None:
                raise EngineFailed(f"the backend ended with code {self._process.returncode}: {last_words(self._log)}")
            found = RUNNING_ON.search(self._log.read_text(encoding="utf-8", errors="replace"))
            self.port = int(found[1]) if found else 0
            if self.port:
                if exchange(self.port, "GET", "/ready")[0].status == 200:
                    self.ready_seconds = seconds
                    return
                self.health()  # an error where the model could not be loaded
            time.sleep(POLL_SECONDS)
        raise EngineFailed(f"the backend was not ready after {START_SECONDS:.0f} s: {last_words(self._log)}")

    def _get(self, path: str) -> dict[str, Any]:
        response, answer = exchange(self.port, "GET", path)
        if response.status != 200:
            raise EngineFailed(f"the backend answered {path} with {response.status}: {detail_of(answer)}")
        return dict(json.loads(answer))

    def _processor_seconds(self) -> float:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND  # utime, stime: proc(5)


@contextlib.contextmanager
def started(environment: Mapping[str, str], log: Path) -> Iterator[Backend]:
    """`python -m backend`, ready for clicks, with variables on top of this process's own; it writes to the log."""
    variables = {**os.environ, **environment, "HOST": "127.0.0.1", "PORT": "0"}
    with log.open("wb") as file:
        process = subprocess.Popen((sys.executable, "-m", "backend"), env=variables, stdout=file, stderr=file)
    try:
        backend = Backend(process, log)
        backend.wait_until_ready()
        yield backend
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
