"""Replay a function of tensors as a recorded CUDA graph: one launch instead of a thousand.

A graph has fixed shapes and fixed memory, so each set of shapes that was recorded has its own, calls that fit none
run the function itself, and results are copied out before the next replay overwrites them. Prompts are not padded to
a recorded shape: a padding point is one more token of the decoder's attention, and would change the mask.

Capture follows "CUDA Graphs" in torch's notes: warm-up on a side stream, then one capture; graphs that never run at
the same time may share one memory pool.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

Function = Callable[..., tuple[torch.Tensor, ...]]
# Takes a function without arguments; gives what replays it, and the tensors that each replay fills.
Capture = Callable[[Callable[[], tuple[torch.Tensor, ...]]], tuple[Callable[[], None], tuple[torch.Tensor, ...]]]
Shapes = tuple[tuple[tuple[int, ...], torch.dtype], ...]
WARM_UP_RUNS = 3


@dataclass(frozen=True)
class Recording:
    """One graph with the memory that it reads and writes."""

    inputs: tuple[torch.Tensor, ...]
    replay: Callable[[], None]
    outputs: tuple[torch.Tensor, ...]


class Recorded:
    """A function, and its recordings by the shapes of what it was given. Not safe among threads."""

    def __init__(self, function: Function, capture: Capture) -> None:
        self._function = function
        self._capture = capture
        self._recordings: dict[Shapes, Recording] = {}

    def record(self, *example: torch.Tensor) -> None:
        """Make calls with tensors of these shapes and dtypes replays."""
        inputs = tuple(tensor.clone() for tensor in example)
        replay, outputs = self._capture(lambda: self._function(*inputs))
        self._recordings[_shapes(example)] = Recording(inputs, replay, outputs)

    def __call__(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The function's outputs, in memory of their own."""
        recording = self._recordings.get(_shapes(inputs))
        if recording is None:
            return self._function(*inputs)
        for static, given in zip(recording.inputs, inputs, strict=True):
            static.copy_(given)
        recording.replay()
        return tuple(output.clone() for output in recording.outputs)


def capture_on(device: torch.device) -> Capture:
    """Capture on a CUDA device; all that one call of this gives share one memory pool."""
    pool = torch.cuda.graph_pool_handle()

    def capture(
        run: Callable[[], tuple[torch.Tensor, ...]],
    ) -> tuple[Callable[[], None], tuple[torch.Tensor, ...]]:
        with torch.cuda.device(device):
            side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(WARM_UP_RUNS):
                    run()
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=pool):
                outputs = run()
        return graph.replay, outputs

    return capture


def _shapes(tensors: Sequence[torch.Tensor]) -> Shapes:
    return tuple((tuple(tensor.shape), tensor.dtype) for tensor in tensors)
