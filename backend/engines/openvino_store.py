"""Converted models on the disk: one folder each, named by everything that its content depends on.

A folder appears whole, by a rename, and carries the SHA-256 of each of its files: one that is torn, changed or not
ours is made again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from backend.engines.openvino_export import EXPORT_VERSION, GRAPHS
from backend.engines.openvino_runtime import load_openvino
from backend.weights.integrity import file_sha256

logger = logging.getLogger(__name__)
MANIFEST = "manifest.json"
FILES = tuple(f"{name}.{kind}" for name in GRAPHS for kind in ("xml", "bin"))


class ConvertedModel:
    """The graphs of one checkpoint, and what the self-check said about them."""

    def __init__(self, folder: Path, weights_sha256: str, config: Path) -> None:
        """
        Args:
            folder: of all converted models; made when it is not there.
            weights_sha256: of the checkpoint, 64 hex digits.
            config: the YAML that the model is built from.
        """
        parts = [weights_sha256, hashlib.sha256(config.read_bytes()).hexdigest(), f"export {EXPORT_VERSION}"]
        parts += [f"{package} {version(package)}" for package in ("openvino", "torch", "sam2")]
        self.path = folder / hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]

    def load(self) -> dict[str, Any] | None:
        """The graphs as `openvino.Model`; None when they are not there or not whole."""
        if not self.path.is_dir():
            return None
        core = load_openvino().Core()
        try:
            digests = json.loads((self.path / MANIFEST).read_text(encoding="utf-8"))
            if digests != {file: file_sha256(self.path / file) for file in FILES}:
                raise ValueError("a file differs from what was written")
            return {name: core.read_model(self.path / f"{name}.xml") for name in GRAPHS}
        except (OSError, RuntimeError, ValueError) as error:
            logger.warning("the converted model %s is damaged (%s); it is made again", self.path.name, error)
            return None

    def save(self, graphs: Mapping[str, Any]) -> None:
        """Write the graphs; a disk that does not take them costs the next start a conversion, no more."""
        openvino = load_openvino()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.path.parent, prefix=".making-") as making:
                made = Path(making) / self.path.name
                made.mkdir()
                for name, graph in graphs.items():
                    # Whole weights: rounded ones would not pass for the checkpoint's in full precision.
                    openvino.save_model(graph, made / f"{name}.xml", compress_to_fp16=False)
                digests = {file: file_sha256(made / file) for file in FILES}
                _write(made / MANIFEST, digests)
                shutil.rmtree(self.path, ignore_errors=True)
                made.rename(self.path)
        except (OSError, RuntimeError) as error:
            logger.warning("the converted model cannot be kept in %s (%s)", self.path.parent, error)

    def agreement(self, engine: str) -> float | None:
        """What `remember` recorded for this engine on this machine's kind of processor; None when nothing."""
        try:
            value = json.loads(self._check(engine).read_text(encoding="utf-8"))["mean_iou"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return float(value) if isinstance(value, float) and 0 <= value <= 1 else None

    def remember(self, engine: str, mean_iou: float) -> None:
        """Keep the outcome of the self-check beside the graphs."""
        try:
            _write(self._check(engine), {"mean_iou": mean_iou})
        except OSError as error:
            logger.warning("the outcome of the self-check cannot be kept (%s)", error)

    def _check(self, engine: str) -> Path:
        # The engine's name holds its precision, which is what another processor would change.
        return self.path / f"check-{engine}.json"


def _write(path: Path, content: Mapping[str, object]) -> None:
    """Write JSON, to the disk, and only then under its name."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    with part.open("w", encoding="utf-8") as stream:
        json.dump(content, stream)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(path)
