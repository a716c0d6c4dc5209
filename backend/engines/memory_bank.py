"""What SAM 2 remembers of one object: its anchors, and of the frames before this one no more than it reads.

`SAM2Base._prepare_memory_conditioned_features` (sam2/modeling/sam2_base.py) reads the spatial memory of the anchors
and of the last ``num_maskmem - 1`` frames, every r-th where `memory_temporal_stride_for_eval` is r, and the object's
pointers of the last ``max_obj_ptrs_in_encoder - 1`` frames. `SAM2VideoPredictor` keeps all of every frame, so what it
holds grows with the sequence.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

# A frame's memory under the names that `SAM2Base` reads; tensors, and a list of tensors.
Entry = dict[str, Any]
SPATIAL = "maskmem_features"
POSITIONS = "maskmem_pos_enc"
POINTER = "obj_ptr"


@dataclass(frozen=True)
class Reach:
    """How many frames back a model reads.

    Attributes:
        spatial: where an object was.
        pointers: what it is.
    """

    spatial: int
    pointers: int

    @classmethod
    def of(cls, model: Any) -> Reach:
        """Of a `SAM2Base`. A stride of r is looked for from a multiple of r, so up to r - 1 frames further back."""
        stride = int(model.memory_temporal_stride_for_eval)
        pointers = int(model.max_obj_ptrs_in_encoder) - 1 if model.use_obj_ptrs_in_encoder else 0
        return cls(int(model.num_maskmem) * stride, pointers)


@dataclass
class MemoryBank:
    """Of one object.

    Attributes:
        reach: what of the last frames is kept.
        backward: the frames come from later to earlier.
        anchors: memory of the frames whose mask was given, by number.
        followed: memory of the last frames that the object was followed into, by number.
    """

    reach: Reach
    backward: bool
    anchors: dict[int, Entry] = field(default_factory=dict)
    followed: dict[int, Entry] = field(default_factory=dict)

    def is_followed_to(self, frame: int) -> bool:
        """Whether an anchor lies before a frame in the direction of the track: without one there is no pointer."""
        return any(number > frame if self.backward else number < frame for number in self.anchors)

    def readable(self) -> dict[str, dict[int, Entry]]:
        """Both under the names that `SAM2Base` reads."""
        return {"cond_frame_outputs": self.anchors, "non_cond_frame_outputs": self.followed}

    def remember(self, frame: int, entry: Entry) -> None:
        """Keep a frame that was followed into, and let go of what no later frame reads."""
        self.followed[frame] = entry
        for number in list(self.followed):
            behind = number - frame if self.backward else frame - number
            if behind >= max(self.reach.spatial, self.reach.pointers):
                del self.followed[number]
            elif behind >= self.reach.spatial:
                # Only the pointer is read of it; a frame without spatial memory must be past the reach of that.
                self.followed[number] = {POINTER: self.followed[number][POINTER]}
