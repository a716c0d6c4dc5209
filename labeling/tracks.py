"""One object through a sequence: how a region says which track it belongs to, and where its mask comes from.

A track is called by the region that it began with, `12.8fK2a`: the task, and the region's id in it. So that region
needs no note, and two tracks never have one name. All others carry a note in their `meta`, which people see in the
region's details and Label Studio keeps when a prediction becomes an annotation.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MODEL_VERSION = "propagate"  # of the predictions that propagated masks are in
LEAST_SCORE = 0.5  # of a mask that is believed, where no one says otherwise
LEAST_SHARE = 0.3  # of a believed mask that no other object has a better claim to
LOST_AFTER = 15  # frames without a mask, as far back as SAM 2 remembers what an object is, where no one says otherwise
DIGEST_DIGITS = 12
SPACE = re.compile(r"\s+")
OUT_OF = ": out of "  # in each note; by it Label Studio finds them
NOTE = re.compile(
    rf"track (?P<track>\S+){OUT_OF}(?P<origin>.*), score (?P<score>[\d.]+), presence [\d.]+, run (?P<run>[0-9a-f]+)"
)
NO_MASK = re.compile(r"track (?P<track>\S+): no mask, run (?P<run>[0-9a-f]+)")


@dataclass(frozen=True)
class TrackNote:
    """What a propagated region says of itself.

    Attributes:
        track: its name.
        run: what its mask was made from: the digest of the track's masks that were given, of the model, and of how.
        score: the model's own estimate of the mask's IoU.
        origin: the name of the image that its track was followed from.
    """

    track: str
    run: str
    score: float
    origin: str


def track_name(task: int | str, region_id: str) -> str:
    """The name of the track that begins with this region."""
    return f"{task}.{SPACE.sub('_', region_id)}"


def note_text(note: TrackNote, presence: float) -> str:
    """The note of a region."""
    origin = shown_origin(note.origin)
    return f"track {note.track}{OUT_OF}{origin}, score {note.score:.2f}, presence {presence:.2f}, run {note.run}"


def shown_origin(name: str) -> str:
    """The name of an image as notes have it: with single spaces."""
    return SPACE.sub(" ", name)


def note_of(result: Mapping[str, Any]) -> TrackNote | None:
    """The note of a stored result; what a person changed of its mask since does not matter. None without one."""
    meta = result.get("meta")
    texts = meta.get("text") if isinstance(meta, dict) else None
    for text in texts if isinstance(texts, list) else [texts]:
        found = NOTE.fullmatch(text) if isinstance(text, str) else None
        if found is not None:
            try:
                return TrackNote(found["track"], found["run"], float(found["score"]), found["origin"])
            except ValueError:  # digits and points that are no number
                continue
    return None


def no_mask_text(track: str, run: str) -> str:
    """What a prediction says of a track that was followed into its image and has no mask there."""
    return f"track {track}: no mask, run {run}"


def without_mask(remarks: Sequence[object]) -> dict[str, str]:
    """The tracks that have no mask according to a prediction, and the run of each; other remarks are passed over."""
    found = [NO_MASK.fullmatch(one) for one in remarks if isinstance(one, str)]
    return {one["track"]: one["run"] for one in found if one is not None}


def mask_digest(code: bytes) -> str:
    """Of a mask that was given, by its run-length code."""
    return hashlib.sha256(code).hexdigest()


def run_digest(
    model_version: str,
    given: Sequence[tuple[int, str]],
    *,
    backward: bool,
    least_score: float = LEAST_SCORE,
    lost_after: int = LOST_AFTER,
) -> str:
    """What a track's masks are made from, as their notes say it.

    Which other objects are followed in the same run is not part of it, though it can change a mask: one that another
    object's covers is left out (`backend.serving.belief`).

    Args:
        model_version: of the backend.
        given: the masks of the track that were given, the nearest first: how many frames behind the nearest, and its
            digest.
        backward: the run goes from later frames to earlier ones.
        least_score: of a mask that is believed.
        lost_after: a track ends after so many frames in a row without a mask.
    """
    share = LEAST_SHARE if least_score else 0
    content = json.dumps([model_version, backward, list(given), least_score, share, lost_after])
    return hashlib.sha256(content.encode()).hexdigest()[:DIGEST_DIGITS]
