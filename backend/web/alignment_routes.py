"""`PUT /alignment`: the transforms of a project's pairs, given by whoever runs the server (`./inv pairs.apply`)."""

from __future__ import annotations

from anyio.to_thread import run_sync
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from backend.errors import Busy
from backend.serving.alignments import Alignment, AlignmentStore
from backend.web.bodies import MEGABYTE, Bodies

BODY_BYTES = 256 * MEGABYTE  # a matrix for each of a million tasks


def add_alignment_routes(app: FastAPI, alignments: AlignmentStore, bodies: Bodies) -> None:
    """Add the route to the application."""

    @app.put("/alignment")
    async def put(request: Request) -> JSONResponse:
        """From now on it counts for the project; what was given before is replaced."""
        async with bodies.parsed(request, Alignment, "the format of /alignment", BODY_BYTES) as alignment:
            await run_sync(_put, alignments, alignment)
            return JSONResponse({"own": len(alignment.own), "refused": len(alignment.refused)})


def _put(alignments: AlignmentStore, alignment: Alignment) -> None:
    """
    Raises:
        Busy: the disk does not take it.
    """
    try:
        alignments.put(alignment)
    except OSError as error:
        raise Busy(f"the alignment cannot be kept: {error.strerror}; is the cache's disk full?") from None
