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

from tools.bench.clicks import checked, exchange
from tools.bench.machine import gpu_memory_mb
from tools.bench.results import EngineFailed
from tools.bench.worker import last_words

START_SECONDS = 600.0  # with the conversion of a large model for an engine
EMBED_SECONDS = 600.0
STOP_SECONDS = 15.0
IDLE_SECONDS, IDLE_TIMES = 0.4, 2  # on a busy machine a process that only waits for its turn seems idle once
POLL_SECONDS = 0.1
RUNNING_ON = re.compile(r"running on https?://[^\s:]+:(\d+)")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Backend:
    """The process; `ready_seconds` from its start until a click would be answered on its `port`."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process, self._log = process, log
        self.pid = process.pid
        self.port, self.ready_seconds = 0, 0.0

    def get(self, path: str) -> dict[str, Any]:
        """The JSON object at a path, `/health` for example."""
        status, _, answer = exchange(self.port, "GET", path)
        return dict(json.loads(checked(path, status, answer)))

    def embed(self, urls: Sequence[str]) -> float:
        """Have the backend encode images onto the disk, as `./inv embed` does: images a second.

        Raises:
            EngineFailed: an image was not encoded, or the time was up.
        """
        body = json.dumps({"key": "bench", "images": [{"url": url} for url in urls]}).encode()
        status, _, answer = exchange(self.port, "POST", "/embed", body)
        path, deadline = (
            f"/embed/{json.loads(checked('/embed', status, answer))['job']}",
            time.monotonic() + EMBED_SECONDS,
        )
        while (found := self.get(path))["state"] in ("waiting", "running") and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        if found["encoded"] != len(urls):
            raise EngineFailed(f"the backend encoded {found['encoded']} of {len(urls)}: {found['problem']}")
        return float(found["images_per_second"])

    def memory_mb(self, line: str = "VmRSS") -> float:
        """Resident memory in MB (10^6 bytes); `VmHWM` is the highest so far."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        return int(status.split(f"{line}:")[1].split()[0]) * 1024 / 1e6

    def gpu_memory_mb(self) -> float | None:
        """What the process holds of the GPUs' memory, in MB (10^6 bytes); None where the driver does not say."""
        return gpu_memory_mb(self.pid)

    def figure(self, name: str) -> float:
        """A figure of `/metrics` that has no labels; `EngineFailed` where there is none of that name."""
        status, _, body = exchange(self.port, "GET", "/metrics")
        text = checked("/metrics", status, body).decode()
        for line in text.splitlines():
            if line.startswith(f"{name} "):
                return float(line.split()[1])
        raise EngineFailed(f"the backend's /metrics has no figure {name}")

    def wait_until_idle(self, seconds: float) -> None:
        """Wait until the process uses no processor time, so many seconds at most."""
        deadline = time.monotonic() + seconds
        used, idle = self._processor_seconds(), 0
        while idle < IDLE_TIMES and time.monotonic() < deadline:
            time.sleep(IDLE_SECONDS)
            used, before = self._processor_seconds(), used
            idle = idle + 1 if used - before < 0.1 * IDLE_SECONDS else 0

    def wait_until_ready(self) -> None:
        """Wait until a click would be answered; `EngineFailed` where it never will be, or not in time."""
        began = time.monotonic()
        while (seconds := time.monotonic() - began) < START_SECONDS:
            if self._process.poll() is not None:
                raise EngineFailed(f"the backend ended with code {self._process.returncode}: {last_words(self._log)}")
            if found := RUNNING_ON.search(self._log.read_text(encoding="utf-8", errors="replace")):
                self.port, self.ready_seconds = int(found[1]), seconds
                if exchange(self.port, "GET", "/ready")[0] == 200:
                    return
                self.get("/health")  # an error where the model could not be loaded
            time.sleep(POLL_SECONDS)
        raise EngineFailed(f"the backend was not ready after {START_SECONDS:.0f} s: {last_words(self._log)}")

    def _processor_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
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
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        process.kill()
        process.wait()
