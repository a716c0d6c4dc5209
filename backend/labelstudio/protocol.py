"""Label Studio's wire format, as Label Studio 1.23.2 speaks it. Unknown fields are ignored.

What comes in is apart from what goes out. Coordinates are percent (0 to 100) of the image as the browser shows
it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Percent = Annotated[float, Field(allow_inf_nan=False, ge=-1_000_000, le=1_000_000)]
Pixels = Annotated[int, Field(ge=1, le=1_000_000)]
Name = Annotated[str, Field(max_length=1000)]  # some are kept for later, many at a time
Labels = Annotated[list[Name], Field(max_length=1000)]

# The most entries of each list. What is longer is refused where its last allowed entry was read.
MAX_CANDIDATE = 15
MAX_ENTRIES = 1024  # of the prompts on the screen, each of which has two with split tags
MAX_POINTS = 10_000  # of a polygon
MAX_CODE = 1_000_000  # bytes of a stroke's run-length code; a ragged mask of 12 megapixels takes 600 000
MAX_DRAFTS = 100
MAX_TASKS = 10_000
MAX_PROPOSALS = 10_000
MAX_FRAMES = 100_000


class _Incoming(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, coerce_numbers_to_str=True)


class RegionValue(_Incoming):
    """A shape, its labels, or both. Which fields are there depends on the region's `type`.

    Rectangles have `x`, `y` (a corner), `width`, `height`, the last two negative when drawn backwards; key points `x`,
    `y`; ellipses `x`, `y` (the centre) and the radii; polygons `points`; brush strokes `rle` in Label Studio's own
    run-length code of an RGBA image in the region's original size.
    """

    x: Percent | None = None
    y: Percent | None = None
    width: Percent | None = None
    height: Percent | None = None
    radius_x: Percent | None = Field(default=None, alias="radiusX")
    radius_y: Percent | None = Field(default=None, alias="radiusY")
    rotation: Percent = 0.0  # degrees clockwise, about the corner (x, y); an ellipse about its centre
    points: Annotated[list[tuple[Percent, Percent]], Field(max_length=MAX_POINTS)] | None = None
    format: Name | None = None
    rle: Annotated[list[Annotated[int, Field(ge=0, le=255)]], Field(max_length=MAX_CODE)] | None = None
    image_data_url: Annotated[str, Field(max_length=2 * MAX_CODE)] | None = Field(default=None, alias="imageDataURL")
    labels: Labels | None = None
    keypointlabels: Labels | None = None
    rectanglelabels: Labels | None = None
    ellipselabels: Labels | None = None
    polygonlabels: Labels | None = None
    brushlabels: Labels | None = None
    bitmasklabels: Labels | None = None

    @property
    def label(self) -> str | None:
        """The first label, whichever palette it came from."""
        return next(iter(self.all_labels), None)

    @property
    def all_labels(self) -> tuple[str, ...]:
        """Those of the first palette that gave any."""
        palettes = (
            self.labels,
            self.keypointlabels,
            self.rectanglelabels,
            self.ellipselabels,
            self.polygonlabels,
            self.brushlabels,
            self.bitmasklabels,
        )
        return next((tuple(labels) for labels in palettes if labels), ())


class ContextRegion(_Incoming):
    """One entry of `context.result`. With split tags several entries share one `id`."""

    id: Name | None = None
    type: Name
    from_name: Name = ""
    to_name: Name = ""
    original_width: Pixels
    original_height: Pixels
    image_rotation: float = 0.0
    item_index: int | None = None
    is_positive: bool | None = None
    score: float | None = None  # a model made the region: an accepted mask, not a stroke
    meta: dict[str, Any] | None = None  # notes at the region, under `text`
    value: RegionValue


class Edit(_Incoming):
    """What is done to masks that were accepted.

    Attributes:
        what: the first mask and the others joined, or without them; its holes filled; each of its parts by itself; its
            edge smoothed; as a polygon; as a brush mask.
        tolerance: of a polygon, in pixels; None takes the project's.
    """

    what: Literal["add", "take", "fill", "split", "smooth", "polygon", "brush"]
    tolerance: Annotated[float, Field(ge=0.1, le=100, allow_inf_nan=False)] | None = None


class Follow(_Incoming):
    """One step of masks through a sequence; see `backend.serving.following`.

    Attributes:
        run: the page's name for what its steps share; random, so that nobody else's step is of it.
        step: `anchor` gives the masks in `result` on this task's image, `into` follows them into it,
            `end` ends the run.
        place: of this task's image in its sequence, from 0.
        length: of the sequence.
        name: of the image's file, which the notes of masks that come of an anchor give as their origin.
        predicted: of `anchor`, the propagated masks that the image had before people annotated it: what was drawn anew
            over one of them is its object.
    """

    run: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{16,64}$")]
    step: Literal["anchor", "into", "end"]
    place: Annotated[int, Field(ge=0, lt=MAX_FRAMES)] = 0
    length: Annotated[int, Field(gt=0, le=MAX_FRAMES)] = 1
    name: Name = ""
    predicted: Annotated[list[ContextRegion], Field(max_length=MAX_ENTRIES)] = []

    @model_validator(mode="after")
    def _inside(self) -> Follow:
        if self.place >= self.length:
            raise ValueError(f"the sequence has {self.length} images, so the last place is {self.length - 1}")
        return self


class Context(_Incoming):
    """What the annotator drew and has not accepted yet. Empty when the last prompt was deleted.

    All but the prompts come from our own script in Label Studio's pages (companion/); Label Studio passes them on
    untouched.

    Attributes:
        ask: `state` asks how the backend is, instead of for a mask; `preview` for the outline of the mask that a click
            would give; `twin` for the mask of `result` on the other image of its pair; `everything` for proposals for
            all objects of the image that `result` names; `edit` for what takes the place of the masks in `result`;
            `outlines` for where those lie; `follow` for a step of masks through a sequence.
        request_id: of the click, as the page shows it with an error.
        candidate: which of the model's masks for a lone point is wanted, 0 the one that it trusts most. It is sent
            again with the points that come after, so that they refine the mask that the annotator saw.
        proposal: of `everything`, the number of the one that is taken.
        edit: of `edit`, what is done.
        follow: of `follow`, which step.
    """

    result: Annotated[list[ContextRegion], Field(max_length=MAX_ENTRIES)] | None = None
    ask: Literal["state", "preview", "twin", "everything", "edit", "outlines", "follow"] | None = None
    request_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")] | None = None
    candidate: Annotated[int, Field(ge=0, le=MAX_CANDIDATE)] | None = None
    proposal: Annotated[int, Field(ge=0, le=MAX_PROPOSALS)] | None = None
    edit: Edit | None = None
    follow: Follow | None = None


class PredictParams(_Incoming):
    """`context` is null when a task is opened or predictions are retrieved, without a click."""

    context: Context | None = None


class Task(_Incoming):
    """A task. Its annotations and predictions come along too and are not read.

    Attributes:
        drafts: what this annotator has drawn and not submitted, one object per draft with its regions under
            `result`. Unread here: they hold whole masks, of which a click needs few (`backend.labelstudio.drafts`).
    """

    id: Name | None = None
    data: dict[str, Any] = {}
    drafts: Annotated[list[Any], Field(max_length=MAX_DRAFTS)] | None = None


class PredictRequest(_Incoming):
    """Body of `POST /predict`.

    Attributes:
        only_image: of a task with several images the tag whose image is meant, when a task is opened and when its state
            is asked for; from the ingress of several replicas (`backend.cluster`). None means all of them.
    """

    tasks: Annotated[list[Task], Field(max_length=MAX_TASKS)]
    project: Name | None = None
    label_config: str = ""
    params: PredictParams | None = None
    only_image: Name | None = None

    @property
    def context(self) -> Context | None:
        """The click, if there is one."""
        return self.params.context if self.params else None


class SetupRequest(_Incoming):
    """Body of `POST /setup`. The access token in it is neither needed nor kept.

    Attributes:
        extra_params: the project's options: an object, the same as JSON in a string, or null.
    """

    project: Name | None = None
    labeling_config: str = Field(alias="schema")
    extra_params: Any = None


class _Outgoing(BaseModel):
    model_config = ConfigDict(frozen=True)


class BrushValue(_Outgoing):
    """A mask. `rle` is Label Studio's own run-length code of the RGBA image, alpha 0 or 255."""

    format: Literal["rle"] = "rle"
    rle: list[int]
    brushlabels: list[str] | None = None


class BitmaskValue(_Outgoing):
    """A mask as a PNG in a data URL: black on transparent, in the image's original size."""

    image_data_url: str = Field(serialization_alias="imageDataURL")
    bitmasklabels: list[str] | None = None


class PolygonValue(_Outgoing):
    """One ring, in percent of the image."""

    points: list[tuple[float, float]]
    closed: bool = True
    polygonlabels: list[str] | None = None


class RectangleValue(_Outgoing):
    """The upright box around a mask, in percent of the image."""

    x: float
    y: float
    width: float
    height: float
    rotation: float = 0.0
    rectanglelabels: list[str] | None = None


class LabelsValue(_Outgoing):
    """The labels of a region whose shape is in another result with the same id."""

    labels: list[str]


class RegionResult(_Outgoing):
    """One result of a region. `meta` has notes that the editor shows at the region, under `text`."""

    id: str
    from_name: str
    to_name: str
    type: Literal[
        "brushlabels", "brush", "bitmasklabels", "bitmask", "polygonlabels", "polygon", "rectanglelabels",
        "rectangle", "labels",
    ]  # fmt: skip
    original_width: int
    original_height: int
    image_rotation: float
    item_index: int | None = None
    score: float
    meta: dict[str, list[str]] | None = None
    value: BrushValue | BitmaskValue | PolygonValue | RectangleValue | LabelsValue


class Prediction(_Outgoing):
    """The answer for one task; an empty `result` clears the suggestion on the screen.

    Attributes:
        candidates: of how many masks this is one, for a page that asked for a certain one.
    """

    model_version: str
    score: float
    result: list[RegionResult]
    candidates: int | None = None


class PredictAnswer(_Outgoing):
    """Answer of `POST /predict`, one item per task; an empty list stores nothing and is not an error."""

    results: list[Prediction | list[Prediction]]
