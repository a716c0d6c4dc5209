"""OpenVINO with the shipped weights: torch's masks, converted once, and no file believed that is not whole."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from backend.engines import choose, openvino_engine, openvino_export, self_check, torch_engine
from backend.engines.openvino_engine import OpenVinoSegmenter
from backend.engines.openvino_store import MANIFEST, ConvertedModel
from backend.engines.torch_engine import TorchSegmenter
from backend.engines.torch_model import build_model
from backend.segmenter import Prompts
from backend.weights.catalog import ModelFiles, load_catalog
from tests.engine_contract import EngineContract

pytestmark = pytest.mark.slow
REPOSITORY = Path(__file__).parents[3]
CPU = torch.device("cpu")
DEMO = load_catalog().models["demo"]
CONFIG = DEMO.config_file()
CHECKPOINT = DEMO.checkpoint(Path())


@pytest.fixture(scope="module")
def reference() -> TorchSegmenter:
    assert CONFIG is not None
    return torch_engine.build(CONFIG, CHECKPOINT, CPU, None)


@pytest.fixture(scope="module")
def graphs() -> Mapping[str, Any]:
    assert CONFIG is not None
    return openvino_export.convert(build_model(CONFIG, CHECKPOINT, CPU))


@pytest.fixture(scope="module")
def segmenter(graphs: Mapping[str, Any]) -> OpenVinoSegmenter:
    assert CONFIG is not None
    return OpenVinoSegmenter(graphs, bfloat16=False, build_model=lambda: build_model(CONFIG, CHECKPOINT, CPU))


def prompts(
    points: list[tuple[float, float, bool]],
    box: tuple[float, ...] | None = None,
    mask: NDArray[np.float32] | None = None,
) -> Prompts:
    return Prompts(
        np.asarray([point[:2] for point in points], dtype=np.float32).reshape(-1, 2),
        np.asarray([point[2] for point in points], dtype=np.bool_),
        None if box is None else np.asarray(box, dtype=np.float32),
        mask,
    )


CASES = {
    "lone point": prompts([(80, 90, True)]),
    "points": prompts([(70, 80, True), (95, 110, True), (200, 70, False)]),
    "many points": prompts([(10.0 * number, 9.0 * number, number % 3 > 0) for number in range(20)]),
    "box": prompts([], (35, 45, 125, 135)),
    "box and points": prompts([(80, 90, True), (130, 90, False)], (30, 40, 140, 140)),
}


@pytest.mark.parametrize("with_mask", [False, True])
@pytest.mark.parametrize("name", sorted(CASES))
def test_same_logits_and_scores_as_torch(
    reference: TorchSegmenter, segmenter: OpenVinoSegmenter, name: str, with_mask: bool
) -> None:
    pixels = self_check.drawn_picture()
    theirs, ours = reference.encode(pixels), segmenter.encode(pixels)
    asked = CASES[name]
    if with_mask:
        start = reference.decode(theirs, CASES["box"]).logits[0]
        asked = Prompts(asked.points_xy, asked.is_positive, asked.box_xyxy, start)
    expected, seen = reference.decode(theirs, asked), segmenter.decode(ours, asked)
    np.testing.assert_allclose(seen.logits, expected.logits, atol=1e-3)
    np.testing.assert_allclose(seen.iou, expected.iou, atol=1e-5)
    assert np.abs(expected.logits).max() > 5  # so the tolerance says something


def test_self_check_passes(reference: TorchSegmenter, segmenter: OpenVinoSegmenter) -> None:
    assert self_check.mean_iou(reference, segmenter) > 0.9999


def test_embedding_of_the_other_engine_is_refused(reference: TorchSegmenter, segmenter: OpenVinoSegmenter) -> None:
    pixels = self_check.drawn_picture()
    with pytest.raises(ValueError, match=r"engine: expected openvino-float32, got torch-float32\)$"):
        segmenter.unpack(reference.pack(reference.encode(pixels)))
    with pytest.raises(ValueError, match=r"engine: expected torch-float32, got openvino-float32\)$"):
        reference.unpack(segmenter.pack(segmenter.encode(pixels)))


class TestOpenVino(EngineContract):
    pass


def test_few_points_are_spared_products(segmenter: OpenVinoSegmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many are for the decoder as it is."""
    graphs: list[str] = []
    run = segmenter._run

    def noted(name: str, *inputs: NDArray[Any]) -> list[NDArray[Any]]:
        graphs.append(name)
        return run(name, *inputs)

    embedding = segmenter.encode(self_check.drawn_picture())
    monkeypatch.setattr(segmenter, "_run", noted)
    for name in ("lone point", "box", "many points"):
        segmenter.decode(embedding, CASES[name])
    assert graphs == ["points", "few-tokens"] * 2 + ["points", "decoder"]


def test_features_lie_as_the_decoder_takes_them(segmenter: OpenVinoSegmenter) -> None:
    """In memory, fresh and from a file: else each click would turn them round."""
    embedding = segmenter.encode(self_check.drawn_picture())
    for one in (embedding, segmenter.unpack(segmenter.pack(embedding))):
        assert all(level.is_contiguous(memory_format=torch.channels_last) for level in one.features)


@pytest.fixture
def counted(graphs: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the choice of an engine really does: conversions and self-checks, one word each."""
    done: list[str] = []
    measure = self_check.mean_iou

    def convert(model: object) -> Mapping[str, Any]:
        done.append("converted")
        return graphs

    def checked(*engines: Any) -> float:
        done.append("checked")
        return measure(*engines)

    monkeypatch.setattr(openvino_export, "convert", convert)
    monkeypatch.setattr(self_check, "mean_iou", checked)
    # Whether bfloat16 is tried first is the processor's; how often something is done must not be.
    monkeypatch.setattr(openvino_engine, "has_bfloat16", lambda _core: False)
    return done


def load(folder: Path, weights_sha256: str = "0" * 64) -> str:
    assert CONFIG is not None
    files = ModelFiles("demo", CONFIG, CHECKPOINT, weights_sha256, known=False)
    segmenter = choose.load_segmenter(files, "cpu", "auto", folder)
    return segmenter.engine.partition("-")[0]


def test_converted_and_checked_once_a_checkpoint(tmp_path: Path, counted: list[str]) -> None:
    folder = tmp_path / "not" / "there yet"
    assert [load(folder), load(folder)] == ["openvino", "openvino"]
    assert counted == ["converted", "checked"]
    load(folder, "1" * 64)
    assert counted == ["converted", "checked"] * 2
    assert sorted(path.name[:1] == "." for path in folder.iterdir()) == [False, False]


def test_float32_serves_where_bfloat16_rounds_too_much(
    tmp_path: Path, counted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = self_check.mean_iou

    def rounded(reference: Any, engine: Any) -> float:
        exact = measure(reference, engine)
        return exact if engine.engine == "openvino-float32" else 0.9934

    monkeypatch.setattr(openvino_engine, "has_bfloat16", lambda _core: True)
    monkeypatch.setattr(self_check, "mean_iou", rounded)
    assert CONFIG is not None
    files = ModelFiles("demo", CONFIG, CHECKPOINT, "0" * 64, known=False)
    assert choose.load_segmenter(files, "cpu", "auto", tmp_path).engine == "openvino-float32"
    assert counted == ["converted", "checked", "checked"]
    assert choose.load_segmenter(files, "cpu", "auto", tmp_path).engine == "openvino-float32"
    assert counted == ["converted", "checked", "checked"]


@pytest.mark.parametrize("case", ["torn weights", "another graph", "no manifest", "a manifest of something else"])
def test_damaged_conversion_is_made_again(
    tmp_path: Path, counted: list[str], case: str, caplog: pytest.LogCaptureFixture
) -> None:
    load(tmp_path)
    (made,) = tmp_path.iterdir()
    if case == "torn weights":
        (made / "image.bin").write_bytes((made / "image.bin").read_bytes()[:1000])
    elif case == "another graph":
        (made / "mask.xml").write_bytes((made / "points.xml").read_bytes())
    elif case == "no manifest":
        (made / MANIFEST).unlink()
    else:
        (made / MANIFEST).write_text(json.dumps(["image.xml"]))
    counted.clear()
    caplog.set_level(logging.WARNING)
    assert load(tmp_path) == "openvino"
    assert counted == ["converted", "checked"]
    assert [record.getMessage().partition(" (")[0] for record in caplog.records] == [
        f"the converted model {made.name} is damaged"
    ]
    load(tmp_path)
    assert counted == ["converted", "checked"]


def test_unreadable_outcome_is_checked_again(tmp_path: Path, counted: list[str]) -> None:
    load(tmp_path)
    (outcome,) = tmp_path.glob("*/check-*.json")
    for text in ("", "{}", '{"mean_iou": 7.0}', '{"mean_iou": "1"}', "[]"):
        outcome.write_text(text)
        counted.clear()
        load(tmp_path)
        assert counted == ["checked"]


def test_folder_that_cannot_be_written_costs_only_time(
    tmp_path: Path, counted: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    caplog.set_level(logging.WARNING)
    assert load(tmp_path / "file") == "openvino"
    assert counted == ["converted", "checked"]
    assert "cannot be kept" in caplog.text


def test_name_depends_on_weights_and_configuration(tmp_path: Path) -> None:
    one, other = tmp_path / "one.yaml", tmp_path / "other.yaml"
    one.write_text("a")
    other.write_text("b")
    names = {ConvertedModel(tmp_path, sha, config).path.name for sha in ("0" * 64, "1" * 64) for config in (one, other)}
    assert len(names) == 4


def test_telemetry_is_never_loaded() -> None:
    """In a process of its own: this one may hold anything."""
    program = (
        "import sys\n"
        "from backend.engines.openvino_runtime import load_openvino\n"
        "load_openvino().Core()\n"
        "import openvino.tools.ovc.telemetry_utils as used\n"
        "assert used.tm.__name__ == 'openvino.tools.ovc.telemetry_stub', used.tm\n"
        "assert [name for name in sys.modules if 'telemetry' in name and sys.modules[name] is not None] == "
        "[name for name in sys.modules if name.startswith('openvino.tools.ovc.telemetry')]\n"
    )
    ended = subprocess.run((sys.executable, "-c", program), cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
