"""The options of `./inv propagate`, for its help; nothing that takes time to import."""

from __future__ import annotations

from labeling.tracks import LEAST_SCORE, LOST_AFTER

HELP = {
    "from-": "the task to begin at; people have annotated it",
    "to": "the last task (default: the end of the sequence)",
    "frames": "how many frames after the first (default: up to the end of the sequence)",
    "backward": "from later frames to earlier ones",
    "objects": "which objects: labels, region ids or tracks, comma-separated (default: all)",
    "redo": "make masks again that were made from other anchors: after a frame was corrected",
    "lost-after": f"a track ends when its object is not in so many frames in a row (default: {LOST_AFTER})",
    "least-score": f"masks with a lower score are left out, not remembered; 0 keeps all (default: {LEAST_SCORE})",
    "image": "the image tag, where a task shows several (default: the first)",
}
