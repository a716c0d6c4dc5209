"""What is wrong with replicas, in sentences."""

from __future__ import annotations

from dataclasses import replace

from backend import __version__
from backend.cluster.messages import Report
from backend.cluster.problems import problems_of, why_of

WELL = Report("a/0", "17", "ready", None, "cuda", "torch", b"", version=__version__, clock=1000.0)


def test_nothing_is_wrong() -> None:
    assert problems_of([WELL, replace(WELL, replica="b/0", clock=1019.0)], 1000.0) == []


def test_each_fault_is_one_sentence_of_its_host() -> None:
    full = replace(WELL, replica="b/0", state="degraded", reason="the cache's disk is full")
    early, other = replace(WELL, replica="c/0", clock=940.0), replace(WELL, replica="d/1", version="0.0.1")
    assert problems_of([WELL, WELL, full, early, other], 1000.0) == [
        "b/0: the cache's disk is full",
        "2 replicas are called a/0: give their hosts different names (CLUSTER_HOST)",
        f"d runs labelrig 0.0.1, the ingress {__version__}",
        "the clock of c is 60 s behind the ingress's",
    ]


def test_replica_of_a_version_before_reports_less() -> None:
    assert problems_of([Report("a/0", "17", "ready", None, "cuda", "torch", b"")], 1000.0) == []


def test_sentence_of_what_ray_serve_says() -> None:
    trace = """A replica failed to start with exception. Retrying. Error:
\x1b[36mray::ServeReplica:labelrig:sam2.initialize_and_get_metadata()\x1b[39m (pid=7)
  File x, line 3
RuntimeError: Traceback (most recent call last):
  File y, line 4
backend.errors.ModelError: lab has another model

"""
    assert why_of(trace) == "lab has another model"
    assert why_of("Traceback (most recent call last):\n  File x\nOSError: no space") == "OSError: no space"
    assert (
        why_of("Two replicas take long.\nThe model may be large.") == "Two replicas take long. The model may be large."
    )
    assert why_of("") == ""
