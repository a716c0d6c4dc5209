"""One run: for each model and engine the processes, then each measurement in turn."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from backend.weights.catalog import load_catalog
from tools.bench import measure
from tools.bench.clicks import predict
from tools.bench.machine import describe, software
from tools.bench.pictures import Album
from tools.bench.plan import ENGINES, Counts, Plan
from tools.bench.results import BenchError, EngineFailed, EngineResult, Run, Sample
from tools.bench.server import started
from tools.bench.worker import worker

CACHE_MB = 2000  # room for every image of the speed figures
BOUND_MB = 256  # for the memory figure: few enough to be filled
DISK_MB = 20_000
GPU_FACTOR = 20  # images of the embed job on a GPU beside those on a CPU


class Runner:
    """What all measurements of a run share: an empty folder for images, weights, caches and logs."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._plan, self._folder = plan, folder
        self._began = time.monotonic()
        self.album = Album(folder / "files")
        self._keep: Callable[[], None] = lambda: None

    def run(self, keep: Callable[[Run], None] = lambda _run: None) -> Run:
        """Measure everything; an engine whose processes fail is left out with its reason.

        Args:
            keep: gets what was measured so far, again and again: what is killed later leaves that much.
        """
        run = Run(self._plan.machine or describe(), software())
        self._keep = lambda: keep(run)
        for model in self._plan.models:
            for engine in self._plan.engines:
                result = EngineResult(model, engine)
                run.engines.append(result)
                try:
                    self._engine(result)
                except EngineFailed as error:
                    result.failed = str(error)
                    self._print(f"left out: {error}")
        run.seconds = time.monotonic() - self._began
        return run

    def _engine(self, result: EngineResult) -> None:
        plan, album, size = self._plan, self.album, self._plan.sizes[0]
        at = f"{result.model}, {result.engine}"
        weights = "trained" if result.model == "demo" else "clean"
        environment = self.environment(result.model, result.engine, weights)
        self._print(f"{at}: start")
        with self._processes(result, weights, plan.counts) as bench:
            result.ready_seconds = bench.backend.ready_seconds
            result.computes = str(bench.backend.get("/health")["engine"])
            for one in plan.sizes:
                self._print(f"{at}: clicks at {one}")
                result.clicks.append(bench.clicks(one))
            self._print(f"{at}: annotators")
            result.load = bench.annotators()
            self._print(f"{at}: opened tasks")
            result.opened = bench.after_open()
            self._print(f"{at}: embeddings and masks")
            result.embedding_bytes, result.packed_bytes = bench.engine("sizes", album.new(size).path)
            count = plan.counts.embed * (GPU_FACTOR if result.engine == "cuda" else 1)
            result.embed_per_second = bench.backend.embed([album.new(size).url for _ in range(count)])
            result.fidelity.append(bench.fidelity())
            result.gpu_memory_mb = bench.backend.gpu_memory_mb() if result.engine == "cuda" else None
            bodies = bench.first_clicks()
        self._print(f"{at}: restart")
        with started(environment, self._log(f"{at} again")) as backend:
            # The first click of a process also makes its buffers: it belongs to the start.
            result.revisit = Sample([predict(backend.port, body).taken for body in bodies][1:])
            result.ready_again_seconds = backend.ready_seconds
        if plan.has_memory(result.model):
            self._print(f"{at}: memory")
            bounded = {**environment, "EMBEDDING_CACHE_MEMORY_MB": str(BOUND_MB)}
            with started(bounded, self._log(f"{at} memory")) as backend:
                result.memory = measure.memory(backend, album, size, plan.counts, BOUND_MB)
        if plan.has_ragged(result.model, result.engine):
            self._print(f"{at}: ragged masks")
            try:
                with self._processes(result, "ragged", plan.counts.for_ragged()) as bench:
                    result.clicks += [bench.clicks(one) for one in plan.sizes]
                    result.fidelity.append(bench.fidelity())
            except EngineFailed as error:  # a side row: the rest stands
                result.ragged_failed = str(error)

    @contextlib.contextmanager
    def _processes(self, result: EngineResult, weights: str, counts: Counts) -> Iterator[measure.Bench]:
        row = (result.model, result.engine, weights)
        environment, name = self.environment(*row), " ".join(row)
        with (
            started(environment, self._log(name)) as backend,
            worker("engine", environment, self._log(f"{name} engine")) as engine,
            worker("stock", environment, self._log(f"{name} stock")) as stock,
        ):
            yield measure.Bench(row, backend, engine, stock, self.album, counts, self._plan.sizes[0])

    def _print(self, text: str) -> None:
        self._keep()
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        sys.stderr.write(f"{minutes}:{seconds:02d} {text}\n")
        sys.stderr.flush()

    def _log(self, name: str) -> Path:
        return self._folder / f"{name.replace(', ', '-').replace(' ', '-')}.log"

    def environment(self, model: str, engine: str, weights: str) -> dict[str, str]:
        """Variables of a backend with this model (weights: trained, clean or ragged) on this engine."""
        entry = load_catalog().models[model]
        if (config := entry.config_file()) is None:
            raise BenchError(f"the configuration of {model} is missing: install the sam2 package")
        checkpoint = entry.checkpoint(Path()) if weights == "trained" else self._random(config, f"{model}-{weights}")
        cache, models = self._folder / f"cache-{model}-{engine}-{weights}", self._folder / "models"
        for folder in (cache, models):
            folder.mkdir(exist_ok=True)
        return {
            "LOCAL_FILES_DOCUMENT_ROOT": str(self._folder / "files"),
            "SAM2_MODEL": "custom",
            "SAM2_MODEL_DIR": str(models),
            "SAM2_CONFIG": str(config),
            "SAM2_CHECKPOINT": str(checkpoint),
            "EMBEDDING_CACHE_DIR": str(cache),
            "EMBEDDING_CACHE_MEMORY_MB": str(CACHE_MB),
            "EMBEDDING_CACHE_DISK_MB": str(DISK_MB),
            **ENGINES[engine],
        }

    def _random(self, config: Path, name: str) -> Path:
        checkpoint = self._folder / f"{name}.pt"
        if not checkpoint.exists():
            self._print(f"making random weights: {name}")
            command = (sys.executable, "-m", "tools.bench.weights", str(config), name.split("-")[-1], str(checkpoint))
            done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
            if done.returncode:
                raise BenchError(f"the random weights {name} could not be made: {done.stderr[-500:]}")
        return checkpoint
