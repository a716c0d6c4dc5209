"""`python sleeping.py`: the ingress, with replicas that wait as long as a GPU would compute for each click."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from backend.cluster.__main__ import main
from backend.cluster.replica import Replica
from backend.segmenter import Candidates, Embedding, Prompts, Segmenter
from backend.settings import Settings
from backend.weights.catalog import ModelFiles

SECONDS = "LABELRIG_TEST_SLEEP_SECONDS"


class Sleeping:
    """The model of the settings, whose first answer to a click is that to all others."""

    decode_at_once = 1

    def __init__(self, segmenter: Segmenter, seconds: float) -> None:
        self._segmenter = segmenter
        self._seconds = seconds
        self._lock = threading.Lock()
        self._first: Candidates | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._segmenter, name)

    def decode(self, embedding: Embedding, prompts: Prompts) -> Candidates:
        """One click, in the model's thread, which computes nothing else meanwhile."""
        with self._lock:
            if self._first is None:
                self._first = self._segmenter.decode(embedding, prompts)
        time.sleep(self._seconds)
        return self._first

    def decode_batch(self, asked: Sequence[tuple[Embedding, Prompts]]) -> list[Candidates]:
        """As many."""
        return [self.decode(embedding, prompts) for embedding, prompts in asked]


class SleepingReplica(Replica):
    """A replica with such a model."""

    def load(self, settings: Settings, model: ModelFiles) -> Segmenter:
        """See `Replica.load`."""
        return Sleeping(super().load(settings, model), float(os.environ[SECONDS]))


if __name__ == "__main__":
    # By the name under which replicas' processes import it.
    code = main(import_module("sleeping").SleepingReplica)
    sys.stderr.flush()
    os._exit(code)
