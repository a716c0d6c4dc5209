"""What Ray raises of a replica, as the ingress takes it. Ray is imported, and not started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from infra.dev.environment import cluster_folder

ROOT = Path(__file__).parents[3]
RAISED = """
import asyncio
from ray.exceptions import RayTaskError
from backend.cluster.calls import Replicas
from backend.cluster.repeating import ReplicaDied

class Handle:
    def options(self, **_):
        return self
    @property
    def call(self):
        return self
    async def _failed(self):
        raise RayTaskError("call", "the traceback", OSError(28, "No space left on device")).as_instanceof_cause()
    def remote(self, *_):
        return self._failed()

try:
    asyncio.run(Replicas(Handle()).call("a/0", None))
except ReplicaDied as error:
    print(error)
"""


def test_replica_that_raises_is_one_that_did_not_answer() -> None:
    """So that another one is asked; its traceback is in the log."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{cluster_folder()}"}
    ended = subprocess.run(
        (sys.executable, "-c", RAISED), env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert ended.stdout == "it failed, RayTaskError(OSError)\n", ended.stderr
    assert "a replica failed unexpectedly: " in ended.stderr
    assert "the traceback" in ended.stderr
