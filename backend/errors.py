"""Every error that the backend expects.

BackendError
├── SettingsError          the environment is wrong; the process ends with exit code 2
├── ModelError             the model's files cannot be used; `/health` says so
├── DownloadError          weights could not be fetched; the command ends with exit code 1
└── RequestError           a request cannot be answered; carries the HTTP status
    ├── BadRequest         400  the request does not follow Label Studio's protocol
    ├── LabelingConfigError 400 the labeling configuration cannot be served
    ├── ImageError         422  the task's image cannot be read
    └── ModelNotReady      503  the model is loading, or failed to load

The message is one sentence for a person: what, where, what was seen, what to do.
"""

from __future__ import annotations

from collections.abc import Sequence


class BackendError(Exception):
    """Base of all expected errors."""


class SettingsError(BackendError):
    """The environment is wrong. Lists all problems at once."""

    exit_code = 2

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class ModelError(BackendError):
    """The model's files cannot be used."""


class DownloadError(BackendError):
    """Weights could not be fetched. Nothing half-made carries the final name."""

    exit_code = 1


class RequestError(BackendError):
    """A request cannot be answered; `status` is the HTTP status of the answer."""

    status = 500


class BadRequest(RequestError):
    """The request does not follow Label Studio's protocol, or asks for something that cannot be done."""

    status = 400


class LabelingConfigError(RequestError):
    """The labeling configuration cannot be served; the message names what is missing."""

    status = 400


class ImageError(RequestError):
    """The task's image cannot be read."""

    status = 422


class ModelNotReady(RequestError):
    """The model is still loading, or failed to load."""

    status = 503
