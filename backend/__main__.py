"""`python -m backend`: serve the model that the environment names. Exit code 2: the environment is wrong."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import logging.config
import signal
import sys
import warnings
from types import FrameType

import numpy as np
import uvicorn
from fastapi import FastAPI
from PIL import Image

from backend.errors import ModelError, OutOfMemory, SettingsError
from backend.segmenter import Prompts, Segmenter
from backend.settings import Settings, load_settings
from backend.web.app import create_app
from backend.web.middleware import OneLineFormatter, RequestIdFilter
from backend.web.reason import ReasonProtocol
from backend.weights import integrity
from backend.weights.catalog import ModelFiles, choose, fetch_command, load_catalog

logger = logging.getLogger("backend")
M_ARENA_MAX = -8  # of glibc's malloc.h


def main() -> int:
    """Run until a signal comes; returns the exit code."""
    signal.signal(signal.SIGTERM, stop)
    share_freed_memory()
    try:
        settings = load_settings()
        configure_logging(settings.log_level)
        model = choose(settings, load_catalog())
    except SettingsError as error:
        for problem in error.problems:
            sys.stderr.write(f"{problem}\n")
        return error.exit_code
    # Pillow's own limit only warns; ours (IMAGE_PIXEL_LIMIT) refuses.
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
    logger.info("model %s, weights %s", model.version, model.checkpoint)
    if settings.backend_password_file is None:
        logger.warning(
            "no BACKEND_PASSWORD_FILE: every program on this machine may use the backend at %s", settings.address
        )
    try:
        app = create_app(lambda: load_model(settings, model), settings, model)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return run_server(app, settings)


def run_server(app: FastAPI, settings: Settings) -> int:
    """Serve until a signal comes, and what is under way by then; returns the exit code."""
    try:
        uvicorn.run(
            app,
            http=ReasonProtocol,
            host=settings.address,
            port=settings.port,
            uds=None if settings.socket is None else str(settings.socket),
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=settings.stop_seconds,
        )
    except KeyboardInterrupt:
        return 130
    return 0


def load_model(settings: Settings, model: ModelFiles) -> Segmenter:
    """Verify the weights, build the model, and prove with one click that it works.

    Raises:
        ModelError: the files cannot be used, or the device is not there.
    """
    if model.known and not integrity.matches(model.checkpoint, model.sha256):
        raise ModelError(
            f"{model.checkpoint} is not the file that {model.name} should be (its SHA-256 differs); "
            f"run: {fetch_command(model.name, model.checkpoint.parent)}"
        )
    # torch takes seconds to import: not before the port is open.
    from backend.engines import choose as engines

    kept = settings.embedding_cache_dir and settings.embedding_cache_dir / "openvino"
    grey = np.full((64, 64, 3), 128, dtype=np.uint8)
    middle = Prompts(np.asarray([[32, 32]], dtype=np.float32), np.asarray([True]))
    try:
        segmenter = engines.load_segmenter(model, settings.sam2_device, settings.sam2_engine, kept)
        answer = segmenter.decode(segmenter.encode(grey), middle)
    except OutOfMemory as error:
        raise ModelError(f"{model.name} does not fit: {error}") from error
    if not np.isfinite(answer.logits).all():
        raise ModelError(f"{model.name} on {segmenter.device} computes no finite numbers: the weights are damaged")
    logger.info("engine %s", segmenter.engine)
    return segmenter


def share_freed_memory() -> None:
    """Let all threads allocate from one heap. To be called before there are others.

    With a heap for each, as glibc has it, what one thread freed of a large picture is of no use to the next: after six
    pictures of 16 megapixels, read one after the other by six threads, 570 MB stayed taken, and 117 with one heap.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library, which has no such heaps
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


def configure_logging(level: str) -> None:
    """One line a record on stderr, with the id of the request it belongs to."""
    line = "%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s"
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "filters": {"request_id": {"()": RequestIdFilter}},
            "formatters": {"line": {"()": OneLineFormatter, "fmt": line}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["request_id"]}},
            "root": {"level": "WARNING", "handlers": ["stderr"]},
            "loggers": {"backend": {"level": level}, "uvicorn.error": {"level": level}},
        }
    )


def stop(_signal: int, _frame: FrameType | None) -> None:
    """Also reached after uvicorn's own orderly stop, which hands the signal on."""
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
