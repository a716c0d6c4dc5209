"""Where ultralytics looks for the labels of an image, and which lines of an image list it understands.

Read in its sources, 8.3 and 8.4 (`data/utils.py` `img2label_paths`, `data/base.py` `get_img_files`): of an image's path
the *last* `/images/` becomes `/labels/`, and what follows the last dot becomes `txt`. In a list of images each `./` of
a line becomes the folder of the list, also in the middle of a path; a line ends where Python's `splitlines` ends it;
and one that does not end as a known image does is passed over without a word.
"""

from __future__ import annotations

from dataset.export.writers.base import NotWritable

IMAGES, LABELS = "images", "labels"
# Those of all versions together: one that a version does not know, it does not list either.
SUFFIXES = (
    *("avif", "bmp", "dng", "heic", "heif", "jp2", "jpeg", "jpeg2000"),
    *("jpg", "mpo", "pfm", "png", "tif", "tiff", "webp"),
)


def line_of(file_name: str) -> str:
    """The line of an image in the list, which lies beside the folder `images`.

    Args:
        file_name: the image's path below `images`.

    Raises:
        NotWritable: there is no line that ultralytics reads as this path.
    """
    line = f"./{IMAGES}/{file_name}"
    if line.rpartition(".")[2].lower() not in SUFFIXES:
        raise NotWritable(f"ultralytics passes over files that do not end in {', '.join(SUFFIXES)}")
    if line.count("./") > 1:
        raise NotWritable("ultralytics does not find images in a folder whose name ends with a dot; rename the folder")
    if len(line.splitlines()) > 1:
        raise NotWritable("its name holds a line break, at which ultralytics cuts the list of images; rename it")
    return line


def label_path_of(file_name: str) -> str:
    """Where ultralytics looks for the labels of `images/<file_name>`: a path beside the folder `images`.

    >>> label_path_of("set/a.png")
    'labels/set/a.txt'
    >>> label_path_of("RGB/images/c.png")
    'images/RGB/labels/c.txt'
    """
    before, _, after = f"/{IMAGES}/{file_name}".rpartition(f"/{IMAGES}/")
    return f"{before}/{LABELS}/{after.rpartition('.')[0]}.txt".removeprefix("/")
