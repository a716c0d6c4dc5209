"""The list of tags, read again from the editor in Label Studio's image."""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
import tempfile
from contextlib import closing

import pytest
import yaml
from docker.errors import NotFound
from docker.models.containers import Container

from infra.errors import LabelrigError
from infra.operations.engine_client import engine_client
from infra.settings import REPOSITORY

pytestmark = pytest.mark.docker
CONTENT = yaml.safe_load((REPOSITORY / "infra" / "labelstudio" / "editor_tags.yaml").read_text(encoding="utf-8"))


def test_the_tags_are_those_of_the_editor() -> None:
    try:
        with closing(engine_client()) as engine:
            images = [image for image in engine.images.list() if any(_is_ours(tag) for tag in image.tags)]
            if not images:
                pytest.skip("no image of the pinned Label Studio on this machine; `./inv up` makes one")
            container = engine.containers.create(images[0])
            try:
                source = _read(container)
            finally:
                container.remove()
    except LabelrigError as error:
        pytest.skip(str(error))
    assert hashlib.sha256(source).hexdigest() == CONTENT["sha256"]
    bundle = json.loads(source)
    found = {
        name.lower(): path.split("libs/editor/src/")[1]
        for path, text in zip(bundle["sources"], bundle["sourcesContent"], strict=True)
        for name in re.findall(r"Registry\.addTag\(\s*[\"'`](\w+)", text or "")
        if "libs/editor/src/regions/" not in path
    }
    assert {name.lower(): path for name, path in CONTENT["tags"].items()} == found


def _is_ours(tag: str) -> bool:
    return "label-studio" in tag.split(":")[0] and tag.split(":")[1].startswith(CONTENT["label_studio"])


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
    pytest.skip("the editor's source map is not where it is known to be in this image")
