"""What the owners of projects said: the ingress keeps it, and tells each replica before it first counts there."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from anyio.to_thread import run_sync

from backend.cluster.messages import Asked, ProjectState
from backend.errors import BadRequest
from backend.labelstudio.options import ProjectOptionsRegistry
from backend.serving.alignments import AlignmentStore


class Projects:
    """Options and pairs' transforms of all projects."""

    def __init__(self, options: ProjectOptionsRegistry, alignments: AlignmentStore) -> None:
        self.options = options
        self.alignments = alignments

    async def stamp(self, project: str) -> str:
        """Another one whenever something else counts for a project."""
        return await run_sync(self._stamp, project)

    async def with_state(self, asked: Asked) -> Asked:
        """A request that brings along what counts for its project."""
        return await run_sync(self._with_state, asked)

    def _stamp(self, project: str) -> str:
        chosen = self.options.of(project).model_dump_json()
        text = f"{chosen}\n{self.alignments.stamp(project)}"
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def _with_state(self, asked: Asked) -> Asked:
        project = asked.project
        if project is None:
            return asked
        stamp = self._stamp(project)  # before what it stands for is read: what comes in between is told again
        try:
            alignment = self.alignments.of(project).model_dump_json().encode()
        except BadRequest:
            alignment = None
        return replace(asked, stamp=stamp, state=ProjectState(self.options.of(project).model_dump(), alignment))
