"""Adds our script (companion/) to Label Studio's pages, while the image is built; run by Label Studio's own Python.

Usage: python add_companion.py FOLDER, with the script's modules in FOLDER.

Four things change: the modules become static files, the template of all pages names them, the settings get the switch
LABELRIG_COMPANION, and with it on they name what is sent with our clicks (clicked_task.py). A Label Studio that is not
as we know it is left as it is, and said so: its pages work, they only lack the script. Doing it twice changes nothing.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import shutil
import sys
from pathlib import Path

VERSIONS = ("1.23.2",)  # companion/editor.js knows the same ones
TEMPLATE = Path("templates/base.html")
SETTINGS = Path("core/settings/label_studio.py")
STATIC = Path("core/static_build")
FOLDER = "labelrig"
END_OF_PAGE = "</body>"
MARK = "LABELRIG_COMPANION"
READS_SWITCH = "get_bool_env("
CLICKS = "labelrig_clicks"
CLICKED_TASK = Path(__file__).with_name("clicked_task.py")
ADDED = f"""
# Added by labelrig.
{MARK} = get_bool_env('{MARK}', True)
if {MARK}:
    INTERACTIVE_DATA_SERIALIZER = '{CLICKS}.ClickedTask'
"""


def main(companion: Path) -> int:
    """Patch the Label Studio of this Python; 0 also when it is left alone."""
    spec = importlib.util.find_spec("label_studio")
    if spec is None or not spec.submodule_search_locations:
        return _left_alone("there is no package label_studio")
    version = importlib.metadata.version("label-studio")
    if version not in VERSIONS:
        return _left_alone(f"it is version {version}, and known are {', '.join(VERSIONS)}")
    return add(Path(spec.submodule_search_locations[0]), companion)


def add(label_studio: Path, companion: Path) -> int:
    """Add the modules in `companion` to the package in `label_studio`."""
    template, settings = label_studio / TEMPLATE, label_studio / SETTINGS
    if not template.is_file() or not settings.is_file() or not (label_studio / STATIC).is_dir():
        return _left_alone(f"{label_studio} lacks {TEMPLATE}, {SETTINGS} or {STATIC}")
    page, code = template.read_text("utf-8"), settings.read_text("utf-8")
    if MARK in page and MARK in code:
        sys.stdout.write("the companion is there already\n")
        return 0
    if page.count(END_OF_PAGE) != 1 or "{{settings.HOSTNAME}}" not in page or READS_SWITCH not in code:
        return _left_alone(f"{TEMPLATE} or {SETTINGS} is not as it was")
    # Modules name each other relatively: with the digest in the path, no browser mixes two versions.
    where = f"{FOLDER}/{_digest(companion)}"
    shutil.copytree(companion, label_studio / STATIC / where, dirs_exist_ok=True)
    source = f"{{{{settings.HOSTNAME}}}}/static/{where}/main.js"
    script = f'{{% if settings.{MARK} %}}<script type="module" src="{source}"></script>{{% endif %}}\n'
    template.write_text(page.replace(END_OF_PAGE, script + END_OF_PAGE), "utf-8")
    shutil.copyfile(CLICKED_TASK, label_studio / f"{CLICKS}.py")
    settings.write_text(code + ADDED, "utf-8")
    sys.stdout.write(f"the companion was added as static/{where}\n")
    return 0


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.js")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def _left_alone(reason: str) -> int:
    sys.stderr.write(f"labelrig: Label Studio's pages stay without the companion: {reason}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
