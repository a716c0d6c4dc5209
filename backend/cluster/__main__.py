"""`python -m backend.cluster`: the ingress, beside Ray's head. Exit code 2: the environment is wrong, or no cluster."""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from backend.__main__ import configure_logging, run_server, stop
from backend.cluster.ahead import Ahead
from backend.cluster.calls import Replicas
from backend.cluster.deploying import deploy, join
from backend.cluster.figures import Figures
from backend.cluster.forwarding import Forwarder
from backend.cluster.hosts import FILE as HOSTS_FILE
from backend.cluster.hosts import Hosts
from backend.cluster.ingress import create_ingress
from backend.cluster.keys import Keys
from backend.cluster.placing import Placement
from backend.cluster.probing import Probes
from backend.cluster.projects import Projects
from backend.cluster.repeating import Repeating
from backend.cluster.replica import Replica
from backend.cluster.settings import load_cluster_settings
from backend.cluster.waiting import Silence
from backend.cluster.watching import ReplicaWatch
from backend.errors import SettingsError
from backend.labelstudio.options import ProjectOptionsRegistry
from backend.serving.alignments import AlignmentStore
from backend.serving.service import ALIGNMENTS, OPTIONS_FILE, project_defaults
from backend.settings import load_settings
from backend.sources.locations import Locator
from backend.weights.catalog import choose, load_catalog

logger = logging.getLogger("backend.cluster")


def main(replica: type[Replica] = Replica) -> int:
    """Run until a signal comes; returns the exit code."""
    signal.signal(signal.SIGTERM, stop)
    try:
        settings, cluster = load_settings(), load_cluster_settings()
        configure_logging(settings.log_level)
        model = choose(settings, load_catalog())
        join(cluster)
        handle, count = deploy(cluster, model.version, replica)
    except SettingsError as error:
        for problem in error.problems:
            sys.stderr.write(f"{problem}\n")
        return error.exit_code
    logger.info("model %s on %d replicas", model.version, count)
    with TemporaryDirectory(prefix="labelrig-ingress-") as temporary:
        kept = settings.embedding_cache_dir
        file = None if kept is None else kept / OPTIONS_FILE
        projects = Projects(
            ProjectOptionsRegistry(project_defaults(settings), file),
            AlignmentStore((kept or Path(temporary)) / ALIGNMENTS),
        )
        figures, placement, silence = Figures(), Placement(), Silence()
        hosts = Hosts(placement, None if kept is None else kept / HOSTS_FILE)
        replicas = Replicas(handle)
        calls = Repeating(replicas, figures, placement, hosts, silence, settings.click_limit)
        watch = ReplicaWatch(replicas, Probes(replicas, placement, silence), count, model, figures, hosts)
        keys = Keys(Locator(settings.label_studio_url, settings.label_studio_public_url))
        ahead = Ahead(replicas, placement, keys, settings.prewarm_neighbours)
        forwarder = Forwarder(calls, projects)
        app = create_ingress(settings, model, watch, hosts, forwarder, projects, keys, figures, ahead)
        return run_server(app, settings)


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # Ray's threads do not end by themselves
