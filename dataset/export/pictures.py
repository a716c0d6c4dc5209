"""The pictures of an export that holds them: fetched from Label Studio, or linked to where they lie."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from core.errors import LabelStudioError
from dataset.export.image_name import file_name_of
from dataset.export.writers.base import ExportImage, NotWritable
from labeling.images import TaskImage
from labelstudio.bulk import TaskRow
from masks.pictures import PictureError, opened, upright


@dataclass(frozen=True)
class Pictures:
    """Where pictures come from, and what the sample of each task is called.

    Attributes:
        fetch: the bytes of an image of a task, by URL and task; raises LabelStudioError.
        samples: by task.
        root: the folder that file names count from, where pictures are linked and not copied.
    """

    fetch: Callable[[str, int], bytes]
    samples: Mapping[int, str]
    root: Path | None = None

    def content(self, image: ExportImage) -> bytes:
        """The bytes of an image.

        Raises:
            NotWritable: it cannot be had.
        """
        try:
            if self.root is not None:
                return (self.root / image.file_name).read_bytes()
            return self.fetch(image.url, image.tasks[0])
        except (LabelStudioError, OSError) as error:
            raise NotWritable(f"its picture cannot be had: {error}") from None


def put_picture(path: Path, content: bytes, image: ExportImage, root: Path | None) -> Path:
    """Write a picture, `path` without its suffix; returns the file.

    It is copied byte by byte, or linked. One that browsers turn is written upright as PNG, since few readers turn it.

    Raises:
        NotWritable: it cannot be read, or has another size than its masks.
    """
    try:
        with opened(io.BytesIO(content)) as stored:
            kind = (stored.format or "png").lower()
            shown = upright(stored)
            size_wh, turned = shown.size, shown is not stored
            if size_wh != image.size_wh:
                seen, expected = ("x".join(map(str, one)) for one in (size_wh, image.size_wh))
                raise NotWritable(f"its picture has {seen} pixels, its masks {expected}")
            if turned:
                target = path.with_name(f"{path.name}.png")
                with target.open("xb") as file:
                    shown.save(file, "PNG")
                return target
    except PictureError as error:
        raise NotWritable(f"its picture cannot be read: {error}") from None
    suffix = PurePosixPath(image.file_name).suffix.lower() or f".{kind}"
    target = path.with_name(f"{path.name}{suffix}")
    if root is not None:
        target.symlink_to((root / image.file_name).absolute())
    else:
        with target.open("xb") as file:
            file.write(content)
    return target


def sample_names(
    rows: Iterable[TaskRow], images_of: Callable[[Mapping[str, object]], list[TaskImage]]
) -> dict[int, str]:
    """What the sample of each task is called: the path of its first image without suffix and without what all share.

    A name that two tasks would have gets the task's number behind it.
    """
    paths = {row.id: PurePosixPath(file_name_of(shown[0].url)) for row in rows if (shown := images_of(row.data))}
    shared = 0
    folders = [path.parent.parts for path in paths.values()]
    while folders and all(len(one) > shared and one[shared] == folders[0][shared] for one in folders):
        shared += 1
    found: dict[int, str] = {}
    taken: set[str] = set()
    for task, path in paths.items():
        name = PurePosixPath(*path.parts[shared:]).with_suffix("").as_posix()
        found[task] = name if name not in taken else f"{name}_{task}"
        taken.add(found[task])
    return found
