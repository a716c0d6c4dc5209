"""What the bench refuses or cannot do, one sentence each."""

from __future__ import annotations


class BenchError(Exception):
    """Base of all of them."""


class BackendFailed(BenchError):
    """The backend did not start, died, or answered with an error."""


class WorkerFailed(BenchError):
    """A measuring process ended or could not do what it was asked."""


class MaskNotClean(BenchError):
    """The weights meant for a clean mask gave another one: the figures would measure the run-length code."""
