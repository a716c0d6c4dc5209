"""Images in a cloud storage that is connected in Label Studio: a real S3 server beside the running stack."""

from __future__ import annotations

import base64
import io
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx
import numpy as np
import pytest
from PIL import Image

from backend.images import images
from backend.sources.source_file import SourceFile
from tests.backup_servers import S3Server
from tests.e2e.conftest import Stack
from tests.e2e.test_proxy import anyone as anyone
from tests.e2e.test_proxy import person as person

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="gives this machine an address: needs root and `ip`"
)
BUCKET = "thermal"
OUTSIDE = "11.250.83.1"  # public, so no guard refuses it; this machine alone has it, for a while
COUNTS = (28_000 + np.arange(60 * 80).reshape(60, 80) % 700).astype(np.uint16)
THERMAL = ("T/ñ 1.png", "T/2.tif", "T/3.jp2", "T/named.png")
PLAIN = ("plain.png", "plain.jpg")
CONFIG = """<View><Image name="image" value="$image"/><KeyPointLabels name="p" toName="image" smart="true">
<Label value="a"/></KeyPointLabels><BrushLabels name="b" toName="image"><Label value="a"/></BrushLabels></View>"""


class Bucket(S3Server):
    """With one bucket and some objects, at an address that containers reach."""

    def __init__(self, folder: Path, address: str, objects: dict[str, bytes]) -> None:
        super().__init__(folder)
        self.address = address
        self.url = f"http://{address}:{self.port}"
        self.objects = objects

    def _variables(self) -> dict[str, str]:
        # It takes everybody: moto checks logins in headers, and pre-signed addresses have theirs in the query.
        return super()._variables() | {"INITIAL_NO_AUTH_ACTION_COUNT": str(10**6)}

    def _made(self) -> None:
        for path, content in {"": b"", **self.objects}.items():
            address = f"{self.url}/{BUCKET}/{quote(path)}".rstrip("/")
            httpx.put(address, content=content, timeout=60, trust_env=False).raise_for_status()
        super()._made()

    @property
    def fetched(self) -> int:
        """How many GETs there were so far."""
        return (self.folder / "log").read_text().count('"GET /')


def contents() -> dict[str, bytes]:
    """Of each kind one, by its key; one TIFF has another name."""
    made = {}
    for key in THERMAL + PLAIN:
        image = Image.fromarray(COUNTS if key in THERMAL else (COUNTS % 251).astype(np.uint8))
        kinds = {"jp2": "JPEG2000", "jpg": "JPEG", "tif": "TIFF"}
        kind = "TIFF" if "named" in key else kinds.get(key.rpartition(".")[2], "PNG")
        file = io.BytesIO()
        image.save(file, kind)
        made[key] = file.getvalue()
    return made


@pytest.fixture(scope="module")
def objects() -> dict[str, bytes]:
    return contents()


@pytest.fixture(scope="module")
def bucket(stack: Stack, objects: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    """At an address that is no inside one: Label Studio's guard and the backend's leave them alone."""
    del stack  # its engine is there: containers reach this machine
    outside = ("ip", "address"), (f"{OUTSIDE}/32", "dev", "lo")
    subprocess.run((*outside[0], "replace", *outside[1]), check=True, timeout=30)
    try:
        with Bucket(tmp_path_factory.mktemp("s3"), OUTSIDE, objects) as server:
            assert isinstance(server, Bucket)
            yield server
    finally:
        subprocess.run((*outside[0], "delete", *outside[1]), check=False, timeout=30)


@pytest.fixture
def project(person: httpx.Client, bucket: Bucket) -> Iterator[int]:
    made = person.post("/api/projects/", json={"title": "cloud", "label_config": CONFIG}).json()
    key, secret = (line.split("=", 1)[1] for line in bucket.lines.split())
    storage = {
        "project": made["id"], "title": "s3", "bucket": BUCKET, "s3_endpoint": bucket.url, "aws_access_key_id": key,
        "aws_secret_access_key": secret, "region_name": "us-east-1", "use_blob_urls": True, "presign": False,
    }  # fmt: skip
    connected = person.post("/api/storages/s3", json=storage)
    assert connected.status_code == 201, connected.text
    yield int(made["id"])
    person.delete(f"/api/projects/{made['id']}")


def address_of(person: httpx.Client, project: int, key: str) -> str:
    """Where the editor gets the image from, of a new task."""
    uri = f"s3://{BUCKET}/{key}"
    made = person.post("/api/tasks/", json={"project": project, "data": {"image": uri}})
    assert made.status_code == 201, made.text
    task = made.json()["id"]
    address = person.get(f"/api/tasks/{task}?project={project}").json()["data"]["image"]
    coded = base64.urlsafe_b64encode(uri.encode()).decode()
    assert address.endswith(f"/tasks/{task}/resolve/?fileuri={coded}"), address
    return str(urlsplit(address)._replace(scheme="", netloc="").geturl())


def presign(person: httpx.Client, project: int) -> None:
    (storage,) = person.get(f"/api/storages/s3?project={project}").json()
    changed = person.patch(f"/api/storages/s3/{storage['id']}", json={"project": project, "presign": True})
    assert changed.status_code == 200, changed.text


def assert_as_sam2_sees(seen: httpx.Response, content: bytes, folder: Path) -> None:
    assert (seen.status_code, seen.headers["Content-Type"]) == (200, "image/png"), seen.text[:300]
    assert "X-Labelrig-Picture" not in seen.headers
    (folder / "file").write_bytes(content)
    expected = images.read(SourceFile(folder / "file", "file", "1"), 10**6)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(seen.content)).convert("RGB")), expected)


@pytest.mark.usefixtures("round_")  # the backend is connected
def test_people_see_what_sam2_sees_of_what_label_studio_streams(
    person: httpx.Client, anyone: httpx.Client, project: int, bucket: Bucket, objects: dict[str, bytes], tmp_path: Path
) -> None:
    for key in THERMAL:
        address = address_of(person, project, key)
        assert anyone.get(address).status_code in (401, 403), key
        seen = person.get(address)
        assert_as_sam2_sees(seen, objects[key], tmp_path)
        assert person.get(address, headers={"If-None-Match": seen.headers["ETag"]}).status_code == 304
        assert person.get(f"{address}&original=1").content == objects[key]
        by_project = person.get(f"/projects/{project}/resolve/?{address.partition('?')[2]}")
        assert by_project.content == seen.content
    strange = base64.urlsafe_b64encode(b"s3://another/a.tif").decode()  # of a bucket that nobody connected
    assert person.get(f"/projects/{project}/resolve/?fileuri={strange}").status_code == 404
    for key in PLAIN:
        address, before = address_of(person, project, key), bucket.fetched
        plain = person.get(address)
        assert (plain.status_code, plain.content) == (200, objects[key])
        assert bucket.fetched == before + 1  # once, as without us


@pytest.mark.usefixtures("round_")
def test_of_what_is_presigned_the_storage_is_asked_how_it_begins(
    person: httpx.Client, project: int, bucket: Bucket, objects: dict[str, bytes], tmp_path: Path
) -> None:
    presign(person, project)
    for key in THERMAL:
        assert_as_sam2_sees(person.get(address_of(person, project, key)), objects[key], tmp_path)
    for key in PLAIN:
        sent_on = person.get(address_of(person, project, key))
        assert sent_on.status_code == 303
        assert sent_on.headers["Location"].startswith(f"{bucket.url}/{BUCKET}/")
        assert "X-Amz-Signature=" in sent_on.headers["Location"]
    missing = person.get(address_of(person, project, "gone.png"))
    assert missing.status_code == 303
