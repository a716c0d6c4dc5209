"""The command line, the pictures, the progress lines and the small measurements."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tools.bench import measure, pictures, server
from tools.bench.machine import describe, processor
from tools.bench.pictures import Album, Picture, read_rgb
from tools.bench.plan import ENGINES, parse
from tools.bench.results import BenchError, EngineFailed
from tools.bench.worker import worker

OUT = Path("somewhere")


def test_default_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.bench.plan.cuda_devices", lambda: 0)
    plan = parse([], OUT)
    assert (plan.models, plan.engines, plan.sizes) == (("demo", "tiny"), ("torch", "openvino"), ("2 MP", "12 MP"))
    assert plan.out == OUT
    assert plan.has_ragged("tiny", "openvino")
    assert not plan.has_ragged("tiny", "torch")
    assert not plan.has_ragged("demo", "openvino")


def test_a_gpu_adds_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.bench.plan.cuda_devices", lambda: 1)
    plan = parse([], OUT)
    assert plan.models == ("demo", "tiny", "large")
    assert plan.engines == ("torch", "openvino", "cuda")
    assert ENGINES["cuda"]["SAM2_DEVICE"] == "cuda"


def test_quick_is_the_demo_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.bench.plan.cuda_devices", lambda: 0)
    plan = parse(["--quick"], OUT)
    assert plan.models == ("demo",)
    assert not plan.has_memory("demo")
    assert not plan.has_ragged("demo", "openvino")


def test_choices_and_their_errors(capsys: pytest.CaptureFixture[str]) -> None:
    plan = parse(["--models", "tiny,large", "--engines", "torch", "--sizes", "12", "--quick"], OUT)
    assert (plan.models, plan.engines, plan.sizes) == (("tiny", "large"), ("torch",), ("12 MP",))
    for wrong in (["--models", "huge"], ["--engines", "tensorrt"], ["--sizes", "3"]):
        with pytest.raises(SystemExit):
            parse(wrong, OUT)
        assert "is none of" in capsys.readouterr().err


def test_pictures_differ_in_content_and_not_in_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pictures.SIZES, "2 MP", (320, 180))
    album = Album(tmp_path)
    one, two = album.new("2 MP"), album.new("2 MP")
    assert one.path.read_bytes() != two.path.read_bytes()
    pixels = read_rgb(one.path)
    np.testing.assert_array_equal(pixels, read_rgb(two.path))
    assert pixels.shape == (180, 320, 3)
    assert (one.task, two.task) == (1, 2)
    with Image.open(one.path) as image:
        image.verify()
    assert tmp_path / one.url.removeprefix("/data/local-files/?d=") == one.path
    points = [one.point(number) for number in range(100)]
    assert all(0 < value < 100 for point in points for value in point)
    assert len(set(points)) > 3


def test_percent_to_pixels() -> None:
    picture = Picture(1, Path(), "", (200, 100), ((50.0, 25.0),))
    assert picture.pixel(3) == (100.0, 25.0)


def test_clean_masks_are_one_part() -> None:
    disc = np.zeros((30, 40), dtype=np.bool_)
    disc[5:20, 10:25] = True
    measure.check_clean(disc)
    disc[25:29, 30:35] = True
    with pytest.raises(BenchError, match="the mask has 2 parts"):
        measure.check_clean(disc)
    with pytest.raises(BenchError, match="covers 100"):
        measure.check_clean(np.ones((30, 40), dtype=np.bool_))
    with pytest.raises(BenchError, match="the mask has 0 parts"):
        measure.check_clean(np.zeros((30, 40), dtype=np.bool_))


def test_processor_in_words() -> None:
    assert processor("model name : AMD EPYC 9454\nflags : avx2 avx512f avx512_bf16\n") == "AMD EPYC 9454 (AVX-512 bf16)"
    assert processor("model name\t: Intel(R) Xeon(R) CPU @ 2.2GHz\nflags\t: avx2\n") == "Intel Xeon CPU (AVX2)"
    assert processor("") == "an unknown processor (without AVX2)"
    assert "GB of memory" in describe()


def test_a_backend_that_cannot_start_says_why(tmp_path: Path) -> None:
    broken = server.started({"SAM2_MODEL": "nonsense"}, tmp_path / "log")
    with pytest.raises(EngineFailed, match=r"^the backend ended with code 2: .*SAM2_MODEL"), broken:
        pass


def test_a_worker_that_cannot_start_says_why(tmp_path: Path) -> None:
    broken = worker("engine", {"SAM2_MODEL": "nonsense"}, tmp_path / "log")
    with pytest.raises(EngineFailed, match=r"^the engine process failed: .*SAM2_MODEL"), broken:
        pass


def test_the_port_is_found_in_uvicorns_line() -> None:
    line = "2026-01-01 INFO uvicorn.error [-] Uvicorn running on http://127.0.0.1:40123 (Press CTRL+C to quit)"
    found = server.RUNNING_ON.search(line)
    assert found is not None
    assert found.group(1) == "40123"
