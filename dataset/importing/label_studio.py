"""Reading Label Studio's JSON: `tasks.json` of our export, or what Label Studio itself exports, of any project.

Another project may call its image otherwise (`to_name`, the key of the task's data) and draw with other tags.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.errors import SettingsError
from core.strict_json import shown
from dataset.coco_file import is_number
from dataset.export.image_name import file_name_of, image_key
from dataset.export.labeling import UsedConfig
from dataset.export.regions import Region, read_results
from dataset.export.results import item_index_of, key_of, with_ids
from dataset.image_spellings import spellings, without_suffix
from dataset.importing.project_words import Result, in_words_of, moved
from dataset.importing.source import Entry, Incoming, Needs, Placed, Source, Spool
from dataset.json_file import JsonFile
from dataset.problems import FileProblems
from labeling.images import TaskImage, task_images

Task = Mapping[str, Any]
STORED = ("no label", "no image size")  # what is no object yet a person's work: it goes in as it is
MIN_KEYS = ("annotator", "annotation_id", "lead_time")  # of every task in Label Studio's JSON-MIN


class LabelStudioSource(Source):
    """See `Source`. Each image of a task is an entry; `handle` is where the task is kept.

    Raises:
        SettingsError: it is not a list of tasks, or regions in it cannot be read.
    """

    def __init__(self, path: Path, config: UsedConfig, problems: FileProblems) -> None:
        self._path = path
        self._config = config
        self._problems = problems
        self._spool = Spool()
        self.entries: list[Entry] = []
        self.left_out: Counter[str] = Counter()
        try:
            for number, task in enumerate(JsonFile(path).items("item"), 1):
                self._take(number, task)
            problems.check()
        except BaseException:
            self._spool.close()
            raise

    def annotations(self, placed: Sequence[Placed], config: UsedConfig, names: Mapping[str, str]) -> list[Incoming]:
        by_task: dict[int, list[Placed]] = {}
        for one in placed:
            by_task.setdefault(one.entry.handle, []).append(one)
        return [
            self._incoming(annotation, places, kept["images"], names)
            for handle, places in by_task.items()
            for kept in [self._spool.get(handle)]
            for annotation in kept["annotations"]
        ]

    def new_task(self, entry: Entry) -> dict[str, Any] | None:
        """See `Source`. A project that knows its one image by another key gets it under this key, too."""
        kept = self._spool.get(entry.handle)
        if (entry.to_name, entry.item_index) != tuple(kept["images"][0]):
            return None
        data = dict(kept["data"])
        tags = self._config.for_data(data).labeling.images
        if not task_images(tags, data) and len(tags) == 1 and tags[0].is_reference and not tags[0].is_list:
            data[tags[0].key] = kept["url"]
        return data

    def close(self) -> None:
        self._spool.close()

    def _take(self, number: int, task: Task) -> None:
        annotations = self._annotations_of(number, task)
        images = _images_of(task["data"], self._config)
        if not images:
            keys = ", ".join(tag.value for tag in self._config.labeling.images)
            self._problems.unusable(f"entry {number} has no image under {keys}, which the project shows, nor elsewhere")
            return
        there = {str(r.get("to_name", "")) for one in annotations for r in one["result"] if "original_width" in r}
        names = names_of_tags(there, images)
        if names is None:
            what = f"shows {len(images)} images and has regions on {', '.join(map(shown, sorted(there)))}"
            self._problems.unusable(f"entry {number} {what}: which of them is which is unknown")
            return
        counts = Counter(image.name for image in images)
        where = f"entry {number} ({file_name_of(images[0].url)})"
        needs: dict[tuple[str, int], set[tuple[str, tuple[str, ...]]]] = {}
        sizes: dict[tuple[str, int], set[tuple[int, int]]] = {}
        kept = []
        for one in annotations:
            results = [
                {**each, "to_name": names.get(str(each["to_name"]), each["to_name"])} if "to_name" in each else each
                for each in with_ids(one["result"])
            ]
            broken, is_empty = set(), True
            for image_name, count in counts.items():
                for region in self._regions([each for each in results if each.get("to_name") == image_name]):
                    is_empty = False
                    if problem := _problem_of(region, count):
                        labels = ", ".join(region.labels)
                        self._problems.region(f"{where}: region {shown(region.id)} ({labels}): {problem}")
                        broken.add((image_name, region.id, region.item_index))
                    else:
                        place = (image_name, region.item_index or 0)
                        needs.setdefault(place, set()).add((region.kind, region.labels))
                        if region.kind in ("brush", "bitmask"):  # the others are in percent
                            sizes.setdefault(place, set()).add(region.size_wh)
            if is_empty and any(map(self._is_foreign_box, results)):
                # They would be taken for prompts, and an annotation without objects says that there are none.
                self._problems.region(
                    f"{where}: it has boxes only, by tags that the project does not have; export it from Label Studio "
                    "as COCO, and make masks with `./inv preannotate --boxes FILE`"
                )
                continue
            kept.append({**one, "result": [each for each in results if key_of(each) not in broken]})
        places = [(image.name, image.item_index) for image in images]
        handle = self._spool.add({"data": task["data"], "annotations": kept, "images": places, "url": images[0].url})
        for image in images:
            place = (image.name, image.item_index or 0)
            needed, counted = Needs(needs.get(place, ())), frozenset(sizes.get(place, ()))
            name, key = file_name_of(image.url), image_key(image.url)
            entry = Entry(name, image.name, image.item_index, needed, handle, counted, key, is_of_task=True)
            self.entries.append(entry)

    def _is_foreign_box(self, result: Result) -> bool:
        kind, tool = result.get("type"), self._config.labeling.control(str(result.get("from_name", "")))
        return kind in ("rectangle", "rectanglelabels") and (tool is None or tool.kind != kind)

    def _regions(self, results: Sequence[Result]) -> list[Region]:
        """The regions on one image. An image that the project does not have is read as its first one."""
        labeling = self._config.labeling
        if results and labeling.image(str(results[0]["to_name"])) is None:
            results = [{**one, "to_name": labeling.images[0].name} for one in results]
        reading = read_results(results, self._config)
        self.left_out.update({why: count for why, count in reading.left_out.items() if count and why not in STORED})
        return reading.regions

    def _annotations_of(self, number: int, task: Task) -> list[dict[str, Any]]:
        """The annotations, checked. Before 1.0 Label Studio called them completions."""
        where = f"{self._path}: entry {number}"
        if not isinstance(task.get("data"), dict):
            if any(key in task for key in MIN_KEYS):
                raise SettingsError(f"{where} is of Label Studio's JSON-MIN, without what a mask needs; export as JSON")
            raise SettingsError(f"{where} is not a task of Label Studio: it has no data")
        annotations = task.get("annotations") or task.get("completions") or []
        if not isinstance(annotations, list):
            raise SettingsError(f"{where}: annotations is {shown(annotations)}, where a list is expected")
        for one in annotations:
            results = one.get("result") if isinstance(one, dict) else None
            if not isinstance(results, list) or not all(isinstance(each, dict) for each in results):
                raise SettingsError(f"{self._path}: an annotation of entry {number} has no list of results")
        return annotations

    def _incoming(
        self, one: Task, places: Sequence[Placed], images: Sequence[Sequence[Any]], names: Mapping[str, str]
    ) -> Incoming:
        ours = {(each.entry.to_name, each.entry.item_index or 0): each for each in places}
        of_images = {name for name, _ in images}
        results = []
        for result in one["result"]:
            name = str(result.get("to_name", ""))
            place = ours.get((name, item_index_of(result) or 0))
            if place is not None:
                results.append(moved(result, place))
            elif name not in of_images:
                results.append(result)  # a relation, or about something that is no image
        lead_time = one.get("lead_time")
        return Incoming(
            results=in_words_of(results, self._config, names),
            is_whole=len(results) == len(one["result"]),
            annotator=_annotator(one),
            lead_time=float(lead_time) if is_number(lead_time) else None,  # type: ignore[arg-type]  # is_number
            ground_truth=bool(one.get("ground_truth")),
            was_cancelled=bool(one.get("was_cancelled")),
        )


def _images_of(data: Mapping[str, Any], config: UsedConfig) -> list[TaskImage]:
    """The images of a task: those that the project shows, else every one that its data seems to name, by its key."""
    return config.images_of(data) or images_in(data)


def images_in(data: Mapping[str, Any]) -> list[TaskImage]:
    """Every image that the data of a task seems to name, by its key: without a labeling configuration."""
    return [TaskImage(key, url, None) for key, url in data.items() if isinstance(url, str) and _is_image(url)]


def _is_image(url: str) -> bool:
    return url.startswith("data:image/") or any(without_suffix(parts) for parts in spellings(url))


def names_of_tags(there: set[str], images: Sequence[TaskImage]) -> dict[str, str] | None:
    """What the image tags of the file's results are called in `images`; None where that cannot be known."""
    names = {image.name for image in images}
    if there <= names:
        return {}
    return {there.pop(): names.pop()} if len(there) == len(names) == 1 else None


def _problem_of(region: Region, images: int) -> str:
    """What is wrong with a region on a tag that shows so many images; empty where nothing is."""
    index = region.item_index or 0
    if not 0 <= index < images:
        return f"it is on image {index + 1} of {shown(region.to_name)}, and the task has {images}"
    try:
        region.mask()
    except ValueError as error:
        return str(error)
    return ""


def _annotator(annotation: Mapping[str, Any]) -> str:
    """The e-mail address of who drew it: as our exports name it, or those of Label Studio that do; else empty."""
    completed_by = annotation.get("completed_by")
    given = annotation.get("annotator") or (completed_by.get("email") if isinstance(completed_by, Mapping) else None)
    return str(given or "")
