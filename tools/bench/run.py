"""One run: for each model and engine the processes, then each measurement in turn."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from backend.weights.catalog import load_catalog
from tools.bench import measure
from tools.bench.clicks import click, predict
from tools.bench.errors import BackendFailed, BenchError, WorkerFailed
from tools.bench.machine import describe
from tools.bench.pictures import Album
from tools.bench.plan import ENGINES, GPU_FACTOR, Plan
from tools.bench.results import EngineResult, Run, Sample
from tools.bench.server import Backend
from tools.bench.worker import Worker

CACHE_MB = 2000  # room for every image of the speed figures
BOUND_MB = 256  # what the memory figure sets: few enough that it is reached
DISK_MB = 20_000
WEIGHTS_SECONDS = 300.0
EMBED_SECONDS = 600.0
PACKAGES = ("torch", "openvino", "label-studio-sdk")


class Bench:
    """Holds what all measurements of a run share."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        """
        Args:
            folder: empty; takes images, weights, caches and logs.
        """
        self._plan = plan
        self._began = time.monotonic()
        self._folder = folder
        self._album = Album(folder / "files")
        # The figures that are no matter of the size are measured on the first one.
        self._size = plan.sizes[0]

    def run(self) -> Run:
        """Measure everything; an engine that cannot be had is left out with its reason."""
        run = Run(self._plan.machine or describe(), _software())
        for model in self._plan.models:
            for engine in self._plan.engines:
                result = EngineResult(model, engine)
                run.engines.append(result)
                try:
                    self._engine(result)
                except (BackendFailed, WorkerFailed) as error:
                    result.failed = str(error)
                    self._say(f"left out: {error}")
        run.seconds = time.monotonic() - self._began
        return run

    def _engine(self, result: EngineResult) -> None:
        at = f"{result.model}, {result.engine}"
        counts, album, step = self._plan.counts, self._album, self._step
        weights = "trained" if result.model == "demo" else "clean"
        environment = self._environment(result.model, result.engine, weights)
        named = (result.model, result.engine, weights)
        with contextlib.ExitStack() as stack:
            with step(f"{at}: start"):
                backend = stack.enter_context(self._backend(environment, at))
                result.ready_seconds = backend.ready_seconds
                result.computes = _computes(backend)
                engine = stack.enter_context(Worker("engine", environment, self._log(f"{at} engine")))
                stock = stack.enter_context(Worker("stock", environment, self._log(f"{at} stock")))
                result.computes = result.computes or str(engine.about["engine"])
            for size in self._plan.sizes:
                with step(f"{at}: clicks at {size}"):
                    result.clicks.append(measure.clicks(backend, engine, stock, album, size, counts, named))
            with step(f"{at}: annotators"):
                result.load = measure.annotators(backend, album, self._size, counts)
            with step(f"{at}: opened tasks"):
                result.opened = measure.after_open(backend, album, self._size, counts)
            with step(f"{at}: embeddings and masks"):
                embedded = engine.ask("set", path=album.path(album.new(self._size)))
                result.embedding_bytes, result.packed_bytes = embedded["bytes"], embedded["packed"]
                count = counts.embed * (GPU_FACTOR if result.engine == "cuda" else 1)
                urls = [album.new(self._size).url for _ in range(count)]
                result.embed_per_second = backend.embed(urls, EMBED_SECONDS)
                found = measure.fidelity(engine, stock, album, self._size, counts, named, self._folder)
                result.fidelity.append(found)
                seen = [
                    click(album.new(self._size), album.point(self._size, one)) for one in range(counts.revisits + 1)
                ]
                for body in seen:
                    predict(backend.port, body)
                backend.wait_until_idle(measure.PREWARM_SECONDS)  # what is written later is written then
        with step(f"{at}: restart"), self._backend(environment, f"{at} again") as backend:
            # The first click of a process also makes its buffers: it belongs to the start.
            taken = [predict(backend.port, body).seconds * 1000 for body in seen][1:]
            result.revisit, result.ready_again_seconds = Sample.of(taken), backend.ready_seconds
        if self._plan.has_memory(result.model):
            with step(f"{at}: memory"):
                bounded = {**environment, "EMBEDDING_CACHE_MEMORY_MB": str(BOUND_MB)}
                with self._backend(bounded, f"{at} memory") as backend:
                    result.memory = measure.memory(backend, album, self._size, counts, BOUND_MB)
        if self._plan.has_ragged(result.model, result.engine):
            with step(f"{at}: ragged masks"):
                try:
                    self._ragged(result, at)
                except (BackendFailed, WorkerFailed) as error:  # beside the point: the rest stands
                    result.ragged_failed = str(error)

    def _ragged(self, result: EngineResult, at: str) -> None:
        environment = self._environment(result.model, result.engine, "ragged")
        named = (result.model, result.engine, "ragged")
        with (
            self._backend(environment, f"{at} ragged") as backend,
            Worker("engine", environment, self._log(f"{at} ragged engine")) as engine,
            Worker("stock", environment, self._log(f"{at} ragged stock")) as stock,
        ):
            for size in self._plan.sizes:
                result.clicks.append(
                    measure.clicks(backend, engine, stock, self._album, size, self._plan.counts.fewer(), named)
                )
            found = measure.fidelity(engine, stock, self._album, self._size, self._plan.counts, named, self._folder)
            result.fidelity.append(found)

    @contextlib.contextmanager
    def _step(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        self._say(name)
        yield
        self._say(f"{name}: {time.monotonic() - began:.1f} s")

    def _say(self, text: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        sys.stderr.write(f"{minutes}:{seconds:02d} {text}\n")
        sys.stderr.flush()

    def _backend(self, environment: dict[str, str], name: str) -> Backend:
        return Backend(environment, self._log(name))

    def _log(self, name: str) -> Path:
        return self._folder / f"{name.replace(', ', '-').replace(' ', '-')}.log"

    def _environment(self, model: str, engine: str, weights: str) -> dict[str, str]:
        config = load_catalog().models[model].config_file()
        if config is None:
            raise BenchError(f"the configuration of {model} is missing: install the sam2 package")
        cache = self._folder / f"cache-{model}-{engine}-{weights}"
        cache.mkdir(exist_ok=True)
        models = self._folder / "models"
        models.mkdir(exist_ok=True)
        return {
            "LOCAL_FILES_DOCUMENT_ROOT": str(self._folder / "files"),
            "SAM2_MODEL": "custom",
            "SAM2_MODEL_DIR": str(models),
            "SAM2_CONFIG": str(config),
            "SAM2_CHECKPOINT": str(self._checkpoint(model, weights)),
            "EMBEDDING_CACHE_DIR": str(cache),
            "EMBEDDING_CACHE_MEMORY_MB": str(CACHE_MB),
            "EMBEDDING_CACHE_DISK_MB": str(DISK_MB),
            **ENGINES[engine],
        }

    def _checkpoint(self, model: str, weights: str) -> Path:
        if weights == "trained":
            return load_catalog().models[model].checkpoint(Path())
        checkpoint = self._folder / f"{model}-{weights}.pt"
        if not checkpoint.exists():
            self._say(f"making random weights for {model}")
            command = ("-m", "tools.bench.weights", "--model", model, "--mask", weights, "--out", str(checkpoint))
            done = subprocess.run(
                (sys.executable, *command), capture_output=True, text=True, timeout=WEIGHTS_SECONDS, check=False
            )
            if done.returncode:
                raise BenchError(f"the random weights of {model} could not be made: {done.stderr[-500:]}")
        return checkpoint


def _computes(backend: Backend) -> str:
    return str(backend.health().get("engine") or "")


def _software() -> dict[str, str]:
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
