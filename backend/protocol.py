"""Label Studio's wire format, as Label Studio 1.23.2 speaks it. Unknown fields are ignored.

What comes in is apart from what goes out. Coordinates are percent (0 to 100) of the image as the browser shows
it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Percent = Annotated[float, Field(allow_inf_nan=False, ge=-1_000_000, le=1_000_000)]
Pixels = Annotated[int, Field(ge=1, le=1_000_000)]


class _Incoming(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, coerce_numbers_to_str=True)


class RegionValue(_Incoming):
    """Where a prompt is: `x`, `y`; boxes also `width`, `height`, which are negative when drawn backwards."""

    x: Percent | None = None
    y: Percent | None = None
    width: Percent | None = None
    height: Percent | None = None
    rotation: Percent = 0.0  # degrees clockwise about the corner (x, y)
    labels: list[str] | None = None
    keypointlabels: list[str] | None = None
    rectanglelabels: list[str] | None = None

    @property
    def label(self) -> str | None:
        """The first label, whichever palette it came from."""
        for labels in (self.labels, self.keypointlabels, self.rectanglelabels):
            if labels:
                return labels[0]
        return None


class ContextRegion(_Incoming):
    """One entry of `context.result`. With split tags several entries share one `id`."""

    id: str | None = None
    type: str
    from_name: str = ""
    to_name: str = ""
    original_width: Pixels
    original_height: Pixels
    image_rotation: float = 0.0
    item_index: int | None = None
    is_positive: bool | None = None
    value: RegionValue


class Context(_Incoming):
    """What the annotator drew and has not accepted yet. Empty when the last prompt was deleted."""

    result: list[ContextRegion] | None = None


class PredictParams(_Incoming):
    """`context` is null when a task is opened or predictions are retrieved: nobody clicked."""

    context: Context | None = None


class Task(_Incoming):
    """A task. Its annotations, drafts and predictions come along too and are not looked at."""

    id: str | None = None
    data: dict[str, Any] = {}


class PredictRequest(_Incoming):
    """Body of `POST /predict`."""

    tasks: list[Task]
    label_config: str = ""
    params: PredictParams | None = None

    @property
    def context(self) -> Context | None:
        """The click, if there is one."""
        return self.params.context if self.params else None


class SetupRequest(_Incoming):
    """Body of `POST /setup`. The access token in it is neither needed nor kept."""

    project: str | None = None
    labeling_config: str = Field(alias="schema")


class _Outgoing(BaseModel):
    model_config = ConfigDict(frozen=True)


class BrushValue(_Outgoing):
    """A mask. `rle` is Label Studio's own run-length code of the RGBA image, alpha 0 or 255."""

    format: Literal["rle"] = "rle"
    rle: list[int]
    brushlabels: list[str] | None = None


class LabelsValue(_Outgoing):
    """The labels of a region whose shape is told by another result with the same id."""

    labels: list[str]


class RegionResult(_Outgoing):
    """One result of a region."""

    id: str
    from_name: str
    to_name: str
    type: Literal["brushlabels", "brush", "labels"]
    original_width: int
    original_height: int
    image_rotation: float
    item_index: int | None = None
    score: float
    value: BrushValue | LabelsValue


class Prediction(_Outgoing):
    """The answer for one task; an empty `result` clears the suggestion on the screen."""

    model_version: str
    score: float
    result: list[RegionResult]


class PredictAnswer(_Outgoing):
    """Answer of `POST /predict`, one item per task; an empty list stores nothing and is no error."""

    results: list[Prediction | list[Prediction]]
