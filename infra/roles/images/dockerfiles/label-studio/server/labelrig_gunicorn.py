"""How gunicorn runs Label Studio. Read by gunicorn as its configuration: every name below is a setting of it.

Label Studio is loaded once and then split into processes, which share most of its memory.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

_package = importlib.util.find_spec("label_studio")
if _package is None or not _package.submodule_search_locations:
    raise SystemExit("there is no Label Studio beside this Python")
sys.path.insert(0, str(Path(_package.submodule_search_locations[0])))  # as `label-studio` itself does

wsgi_app = "core.wsgi:application"
bind = "0.0.0.0:8080"
worker_class = "gthread"
workers = int(os.environ.get("LABELRIG_WEB_PROCESSES") or 2)
# Most of the time a request waits: for the database, or for the backend that makes a mask.
threads = int(os.environ.get("LABELRIG_WEB_THREADS") or 16)
preload_app = True
# What a process has gathered over the day is given back, not by all at the same time.
max_requests = 4000
max_requests_jitter = 1000
# A process that says nothing for so long is ended. A long request is not silence: it has a thread of its own.
timeout = 120
# How long a process that is to end waits for its requests: the sync of a large folder takes minutes.
graceful_timeout = 300
limit_request_line = 0  # the filters of the data manager stand in it; the proxy limits what it lets through
keepalive = 75  # longer than the proxy keeps a connection, so that it never sends into a closed one
worker_tmp_dir = "/dev/shm"  # noqa: S108 - memory, which no full disk can stop
control_socket_disable = True
loglevel = "warning"


def on_starting(server: Any) -> None:
    """Prepare what `label-studio start` prepares, before anyone can connect."""
    from labelrig_programs import split_off
    from labelrig_start import prepare

    prepare()
    split_off()
    server.log.warning("Label Studio serves with %s processes of %s threads", workers, threads)
