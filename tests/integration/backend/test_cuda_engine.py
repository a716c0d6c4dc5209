"""SAM 2 on a GPU: what every engine must hold, with bfloat16 and recorded graphs, and masks as those of the CPU.

No test on a machine without CUDA: there `tools.gpu_check --dry-run` runs the same comparison on the CPU.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from backend.engines import choose
from backend.engines.torch_engine import TorchSegmenter
from backend.weights.catalog import ModelFiles, load_catalog
from tests.engine_contract import EngineContract
from tools.gpu_check.engines import WAYS, compare
from tools.gpu_check.outcome import Kept, Outcome

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
DEMO = load_catalog().models["demo"]


class TestCuda(EngineContract):
    @pytest.fixture(scope="class")
    @classmethod
    def segmenter(cls) -> TorchSegmenter:
        """As the backend loads it: in bfloat16 where the card computes in it, with recorded graphs."""
        config = DEMO.config_file()
        assert config is not None
        files = ModelFiles("demo", config, DEMO.checkpoint(Path()), "0" * 64, known=False)
        segmenter = choose.load_segmenter(files, "cuda", "auto", None)
        assert isinstance(segmenter, TorchSegmenter)
        return segmenter


def test_masks_are_those_of_float32_on_the_cpu(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "engines.json", Outcome("engines"), 140.0)
    compare(kept, "demo", "trained", torch.device("cuda:0"))
    assert [row.passed for row in kept.outcome.rows] == [True] * len(WAYS), kept.outcome.rows
