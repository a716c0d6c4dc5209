"""A replica: the backend's own application, with its model, queue and caches, without a port."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import tempfile
import warnings
from pathlib import Path

from PIL import Image

from backend.__main__ import configure_logging, load_model, share_freed_memory
from backend.cluster.hosting import AppHost
from backend.cluster.messages import NAME
from backend.cluster.settings import load_cluster_settings
from backend.cluster.slots import Slot
from backend.errors import ModelError
from backend.segmenter import Segmenter
from backend.serving.service import Service
from backend.settings import Settings, load_settings
from backend.web.app import create_app
from backend.weights.catalog import ModelFiles, choose, load_catalog

logger = logging.getLogger("backend.cluster")
POLL_SECONDS = 0.05
LOAD_SECONDS = 600.0


class Replica(AppHost):
    """What Ray Serve makes one of for each GPU; all settings are of the host's own environment."""

    async def __init__(self, model_version: str) -> None:  # type: ignore[misc]  # Serve awaits it
        """Returns when the model is loaded: before that no key belongs here.

        Args:
            model_version: what the ingress says in its answers.

        Raises:
            ModelError: the model cannot be loaded, or is another one.
        """
        share_freed_memory()
        settings = load_settings()
        configure_logging(settings.log_level)
        warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
        model = choose(settings, load_catalog())
        host = load_cluster_settings().cluster_host or socket.gethostname()
        if model.version != model_version:
            raise ModelError(f"{host} has the model {model.version}, and the cluster serves {model_version}")
        self._slot = Slot(settings.embedding_cache_dir or Path(tempfile.gettempdir()) / "labelrig-replicas")
        own = of_replica(settings, self._slot)
        app = create_app(lambda: self.load(own, model), own, model)
        self._lifespan = app.router.lifespan_context(app)
        await self._lifespan.__aenter__()
        gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "")  # as Ray gives it to a replica that takes one
        super().__init__(app, f"{host}/{self._slot.number}", str(os.getpid()), gpu)
        await _loaded(self.service)
        logger.info("replica %s serves %s", self.name, model.version)

    def load(self, settings: Settings, model: ModelFiles) -> Segmenter:
        """Build the model; in a thread.

        Raises:
            ModelError: it cannot be loaded.
        """
        return load_model(settings, model)

    def record_replica_metadata(self) -> dict[str, str]:
        """What the router of the ingress knows of a replica from its first moment: its name."""
        return {NAME: self.name}

    async def check_health(self) -> None:
        """Ray Serve replaces a replica that raises."""
        state, reason = self.service.watch.state()
        if state == "failed":
            raise ModelError(reason or "the model failed")

    async def __del__(self) -> None:
        """Called by Ray Serve when the replica is taken out, after its last request."""
        await self._lifespan.__aexit__(None, None, None)
        self._slot.close()


async def _loaded(service: Service) -> None:
    """
    Raises:
        ModelError: it cannot be loaded.
    """
    async with asyncio.timeout(LOAD_SECONDS):
        while service.loader.state[0] == "loading":
            await asyncio.sleep(POLL_SECONDS)
    state, reason = service.loader.state
    if state == "failed":
        raise ModelError(reason or "the model could not be loaded")


def of_replica(settings: Settings, slot: Slot) -> Settings:
    """The host's settings as they are for one of its replicas.

    The ingress has let the request in, so that no password is asked for again. What lies beside an opened image may
    belong to other replicas: the ingress says who encodes it ahead (`backend.cluster.ahead`).
    """
    folder = None if settings.embedding_cache_dir is None else slot.folder
    if folder is not None:
        folder.mkdir(exist_ok=True)
    return settings.model_copy(
        update={"backend_password_file": None, "embedding_cache_dir": folder, "prewarm_neighbours": 0}
    )
