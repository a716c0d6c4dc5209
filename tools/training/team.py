"""Training in several processes of one thread each: on few, busy cores faster than several threads."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import tempfile
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import torch
from torch import Tensor, distributed

PATIENCE = timedelta(minutes=10)


class Team:
    """The processes of one run; each has its own images, all of them the same weights."""

    def __init__(self, rank: int = 0, size: int = 1, meeting: Path | None = None) -> None:
        """Join the run.

        Args:
            rank: number of this process, from 0.
            size: how many processes there are.
            meeting: a file that does not exist yet, where they find each other; not needed by one alone.
        """
        self.rank, self.size = rank, size
        if size > 1:
            distributed.init_process_group(
                "gloo", init_method=f"file://{meeting}", rank=rank, world_size=size, timeout=PATIENCE
            )

    def wait(self) -> None:
        """Go on when all processes have come here."""
        if self.size > 1:
            distributed.barrier()

    def average_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Give every process the mean of their gradients; where one has none, it counts as zero."""
        if self.size == 1:
            return
        for value in parameters:
            if value.grad is None:
                value.grad = torch.zeros_like(value)
        grads = [value.grad for value in parameters if value.grad is not None]
        flat = torch.cat([grad.flatten() for grad in grads])
        distributed.all_reduce(flat)
        flat /= self.size
        for grad, part in zip(grads, torch.split(flat, [grad.numel() for grad in grads]), strict=True):
            grad.copy_(part.view_as(grad))

    def leave(self) -> None:
        """End the run for this process."""
        if self.size > 1:
            distributed.destroy_process_group()


def run_team(work: Callable[[int, Path | None], None], size: int) -> int:
    """Run the same work in so many processes, in this one where it is one alone.

    Args:
        work: gets its rank and the file where the team meets, as `Team` wants them. Other processes import it.
        size: how many.

    Returns: the exit code; where one process fails, the others are ended.
    """
    if size == 1:
        work(0, None)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        meeting = Path(folder) / "meeting"
        context = multiprocessing.get_context("spawn")
        team = [context.Process(target=work, args=(rank, meeting), daemon=True) for rank in range(size)]
        for process in team:
            process.start()
        while all(process.is_alive() for process in team):
            multiprocessing.connection.wait([process.sentinel for process in team])
        failed = [process for process in team if process.exitcode not in (None, 0)]
        for process in team:
            if failed:
                process.terminate()  # the others wait in vain for one that is gone
            process.join()
    return int(any(process.exitcode for process in team))
