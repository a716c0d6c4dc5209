"""Every error that the backend expects.

BackendError
├── SettingsError          the environment is wrong; the process ends with exit code 2
├── ModelError             the model's files cannot be used; `/health` says so
├── DownloadError          weights could not be fetched; the command ends with exit code 1
└── RequestError           a request cannot be answered; carries the HTTP status
    ├── BadRequest         400  the request does not follow Label Studio's protocol
    ├── LabelingConfigError 400 the labeling configuration cannot be served
    ├── NotFound           404  there is no such job
    ├── Superseded         409  a newer click of the same prompts made this one useless
    ├── LastHost           409  the last of several GPU hosts is not drained
    ├── TooLarge           413  the request holds more than may be sent at once
    ├── ImageError         422  the task's image cannot be read
    ├── SourceUnavailable  502  the server that holds the image does not give it now
    ├── ModelNotReady      503  the model is loading, or failed to load
    ├── Busy               503  too many clicks wait already, or their memory is taken
    ├── ReplicaGone        503  of several replicas the one that worked on it ended
    ├── OutOfMemory        503  the device's memory does not suffice, even with the caches emptied
    └── DeadlinePassed     504  no answer in the time that Label Studio waits

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
    """The request does not follow Label Studio's protocol, or needs something that cannot be done."""

    status = 400


class LabelingConfigError(RequestError):
    """The labeling configuration cannot be served; the message names what is missing."""

    status = 400


class TooLarge(RequestError):
    """The request holds more than may be sent at once."""

    status = 413


class ImageError(RequestError):
    """The task's image cannot be read."""

    status = 422


class ModelNotReady(RequestError):
    """The model is still loading, or failed to load."""

    status = 503


class NotFound(RequestError):
    """There is nothing of that name."""

    status = 404


class Superseded(RequestError):
    """A newer click with the same prompts came: this answer would not be shown."""

    status = 409


class LastHost(RequestError):
    """Without this host no replica would answer."""

    status = 409


class SourceUnavailable(RequestError):
    """The server that holds the image did not answer, or refused: another try may succeed."""

    status = 502


class Busy(RequestError):
    """Too many clicks wait already, or the memory that one needs is taken by others."""

    status = 503


class ReplicaGone(RequestError):
    """The replica that worked on the request ended, and the request was not repeated."""

    status = 503


class OutOfMemory(RequestError):
    """The device's memory does not suffice for the image."""

    status = 503


class DeadlinePassed(RequestError):
    """No answer in the time that Label Studio waits for one."""

    status = 504
