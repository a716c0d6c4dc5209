"""The real backend as a process of its own, on a free port, and what the machine says about that process."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.bench.clicks import detail_of
from tools.bench.errors import BackendFailed

START_SECONDS = 600.0  # with the conversion of a large model for an engine
STOP_SECONDS = 15.0
IDLE_SECONDS = 0.4
IDLE_LOOKS = 2  # on a busy machine a process that only waits for its turn looks idle once
POLL_SECONDS = 0.1
RUNNING_ON = re.compile(r"running on https?://[^\s:]+:(\d+)")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
LAST_LINES = 5


class Backend:
    """`python -m backend` with an environment; use it in a `with`.

    Attributes:
        ready_seconds: from the start of the process until a click would be answered.
    """

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        """
        Args:
            environment: on top of this process's own.
            log: takes what the backend writes.
        """
        self._environment = {**os.environ, **environment, "HOST": "127.0.0.1", "PORT": "0"}
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0
        self.ready_seconds = 0.0

    def __enter__(self) -> Backend:
        began = time.monotonic()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                (sys.executable, "-m", "backend"), env=self._environment, stdout=log, stderr=log
            )
        try:
            self._wait_until_ready(began + START_SECONDS)
        except BaseException:
            self.__exit__()
            raise
        self.ready_seconds = time.monotonic() - began
        return self

    def __exit__(self, *_: object) -> None:
        process = self._running
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)

    def health(self) -> dict[str, Any]:
        """What the backend says about itself."""
        status, answer = self._get("/health")
        if status != 200:
            raise BackendFailed(f"the backend is unwell: {detail_of(answer)}")
        return dict(json.loads(answer))

    def embed(self, urls: Sequence[str], seconds: float) -> float:
        """Have the backend encode images onto the disk, as `./inv embed` does.

        Args:
            seconds: how long that may take.

        Returns:
            Images a second: read, encoded and written.

        Raises:
            BackendFailed: an image was not encoded, or the time was up.
        """
        body = json.dumps({"key": "bench", "images": [{"url": url} for url in urls]}).encode()
        status, answer = self._ask("POST", "/embed", body)
        if status != 202:
            raise BackendFailed(f"the backend answered /embed with {status}: {detail_of(answer)}")
        job = json.loads(answer)["job"]
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = json.loads(self._get(f"/embed/{job}")[1])
            if found["state"] not in ("waiting", "running"):
                if found["encoded"] != len(urls):
                    raise BackendFailed(f"the backend encoded {found['encoded']} of {len(urls)}: {found['problem']}")
                return float(found["images_per_second"])
            time.sleep(POLL_SECONDS)
        raise BackendFailed(f"the backend did not encode {len(urls)} images in {seconds:.0f} s")

    def memory_mb(self, line: str = "VmRSS") -> float:
        """Resident memory in MB (10^6 bytes); `VmHWM` is the highest so far."""
        status = Path(f"/proc/{self._running.pid}/status").read_text(encoding="ascii")
        return int(status.split(f"{line}:")[1].split()[0]) * 1024 / 1e6

    def wait_until_idle(self, seconds: float) -> bool:
        """Wait until the process uses no processor time: whatever it does in the background is done.

        Returns:
            False where it was still working after that many seconds.
        """
        deadline = time.monotonic() + seconds
        used, idle = self._processor_seconds(), 0
        while time.monotonic() < deadline:
            time.sleep(IDLE_SECONDS)
            used, before = self._processor_seconds(), used
            idle = idle + 1 if used - before < 0.1 * IDLE_SECONDS else 0
            if idle == IDLE_LOOKS:
                return True
        return False

    def _wait_until_ready(self, deadline: float) -> None:
        while time.monotonic() < deadline:
            if self._running.poll() is not None:
                raise BackendFailed(f"the backend ended with code {self._running.returncode}: {self._last_words()}")
            self.port = self.port or self._port_in_log()
            if self.port:
                if self._get("/ready")[0] == 200:
                    return
                self.health()  # a model that could not be loaded says so there
            time.sleep(POLL_SECONDS)
        raise BackendFailed(f"the backend was not ready after {START_SECONDS:.0f} s: {self._last_words()}")

    def _get(self, path: str) -> tuple[int, bytes]:
        return self._ask("GET", path)

    def _ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body)
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            raise BackendFailed(f"the backend does not answer {path}: {error}") from None
        finally:
            connection.close()

    def _port_in_log(self) -> int:
        found = RUNNING_ON.search(self._log.read_text(encoding="utf-8", errors="replace"))
        return int(found.group(1)) if found else 0

    def _last_words(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        return " | ".join(lines[-LAST_LINES:]) or "it wrote nothing"

    def _processor_seconds(self) -> float:
        fields = Path(f"/proc/{self._running.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND  # utime, stime: proc(5)

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise BackendFailed("the backend was not started")
        return self._process
