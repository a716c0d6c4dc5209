"""The list of tags, read again from the editor in Label Studio's image."""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
import tempfile

import yaml
from docker.errors import NotFound
from docker.models.containers import Container

from core.repository import REPOSITORY
from tests.e2e.conftest import Stack

CONTENT = yaml.safe_load((REPOSITORY / "labelstudio" / "editor_tags.yaml").read_text(encoding="utf-8"))


def test_the_tags_are_those_of_the_editor(stack: Stack) -> None:
    container = stack.running.container("label-studio")
    assert container is not None
    source = _read(container)
    assert hashlib.sha256(source).hexdigest() == CONTENT["sha256"]
    bundle = json.loads(source)
    found = {
        name.lower(): path.split("libs/editor/src/")[1]
        for path, text in zip(bundle["sources"], bundle["sourcesContent"], strict=True)
        for name in re.findall(r"Registry\.addTag\(\s*[\"'`](\w+)", text or "")
        if "libs/editor/src/regions/" not in path
    }
    assert {name.lower(): path for name, path in CONTENT["tags"].items()} == found


def _read(container: Container) -> bytes:
    """The source map, wherever Python keeps its packages."""
    for packages in ("/opt/venv/lib/python3.11/site-packages", "/label-studio/.venv/lib/python3.13/site-packages"):
        try:
            chunks, _ = container.get_archive(f"{packages}/{CONTENT['source']}")
        except NotFound:
            continue
        with tempfile.TemporaryFile() as archive:
            for chunk in chunks:
                archive.write(chunk)
            archive.seek(0)
            with tarfile.open(fileobj=archive) as content:
                (member,) = content.getmembers()
                file = content.extractfile(member)
                assert file is not None
                return file.read()
    raise AssertionError("the editor's source map is not where it is known to be in this image")
