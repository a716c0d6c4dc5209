"""The bill of materials of an image, from what the script prints in one."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import jsonschema_rs
import pytest

from core.repository import REPOSITORY
from infra.doctor.image_contents import SCRIPT, DebianPackage, ImageContents, PythonPackage, parse_contents
from infra.doctor.sbom import Image, bill_of_materials, lock_hashes

STATUS = """Package: libssl3
Status: install ok installed
Source: openssl (3.0.22-1)
Version: 3.0.22-1~deb12u2
Architecture: amd64

Package: gone
Status: deinstall ok config-files
Version: 1
Architecture: amd64

Package: libstdc++6
Status: install ok installed
Version: 12.2.0-14+deb12u1
Architecture: amd64
"""
LICENSES = """/usr/share/doc/libssl3/copyright:License: Apache-2.0
/usr/share/doc/libssl3/copyright:License: Artistic or GPL-1+
/usr/share/doc/libssl3/copyright:License: Apache-2.0
"""
TORCH = "Metadata-Version: 2.4\nName: torch\nVersion: 2.13.0+cpu\nLicense-Expression: BSD-3-Clause\n"
OLD = "Name: Some_Thing\nVersion: 1.0\nLicense: MIT\nClassifier: License :: OSI Approved :: MIT License\n"
WORDY = "Name: wordy\nVersion: 2\nLicense: Copyright 2020\n  Permission is hereby granted\n"
PRINTED = (
    'os-release\x1eID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n'
    f"\x1dstatus\x1e{STATUS}\x1dlicenses\x1e{LICENSES}"
    f"\x1dpython\x1e{TORCH}\n\x1dpython\x1e{OLD}\n\x1dpython\x1e{WORDY}\n\x1dpython\x1e{TORCH}\n\x1dpython\x1e\n"
)
ID = f"sha256:{'ab' * 32}"
IMAGE = Image("sam2", "labelrig/sam2:0.2.0-aa-bb", ID, "2026-11-29T10:00:00Z", "debootstrap")
MADE = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)


@pytest.fixture
def contents() -> ImageContents:
    return parse_contents(PRINTED)


def test_reads_what_the_script_prints(contents: ImageContents) -> None:
    assert contents.release == {"ID": "debian", "VERSION_ID": "12", "VERSION_CODENAME": "bookworm"}
    assert contents.debian == (
        DebianPackage("libssl3", "3.0.22-1~deb12u2", "amd64", "openssl", ("Apache-2.0", "Artistic or GPL-1+")),
        DebianPackage("libstdc++6", "12.2.0-14+deb12u1", "amd64", "libstdc++6"),
    )
    assert contents.python == (
        PythonPackage("Some_Thing", "1.0", "", ("MIT License",)),
        PythonPackage("torch", "2.13.0+cpu", "BSD-3-Clause"),
        PythonPackage("wordy", "2"),
    )


def test_the_script_finds_packages_of_a_real_system() -> None:
    """Run on this machine, which is a system like those in the images; the environment of the tests is in it."""
    script = SCRIPT.replace("find / -xdev", f"find {Path(sys.prefix).resolve()} -xdev")
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True, timeout=60)
    found = parse_contents(done.stdout)
    assert found.release["ID"] in {"debian", "ubuntu"}
    assert {"dpkg", "libc6"} <= {one.name for one in found.debian}
    assert any(one.licenses for one in found.debian)
    assert {"pytest", "pydantic"} <= {one.name for one in found.python}


def test_document_names_image_packages_and_licences(contents: ImageContents) -> None:
    digest = "cd" * 32
    document = bill_of_materials(
        IMAGE, contents, {"libssl3": digest}, {("some-thing", "1.0"): ["11" * 32, "22" * 32]}, MADE
    )
    assert document["bomFormat"] == "CycloneDX"
    assert document["specVersion"] == "1.6"
    assert document["metadata"]["timestamp"] == "2026-11-29T12:00:00+00:00"
    image = document["metadata"]["component"]
    assert (image["name"], image["version"], image["bom-ref"]) == ("labelrig/sam2", "0.2.0-aa-bb", ID)
    assert image["hashes"] == [{"alg": "SHA-256", "content": "ab" * 32}]
    parts = {one["name"]: one for one in document["components"]}
    assert parts["libssl3"] == {
        "type": "library",
        "bom-ref": "pkg:deb/debian/libssl3@3.0.22-1~deb12u2?arch=amd64&distro=debian-12",
        "name": "libssl3",
        "version": "3.0.22-1~deb12u2",
        "purl": "pkg:deb/debian/libssl3@3.0.22-1~deb12u2?arch=amd64&distro=debian-12",
        "properties": [{"name": "labelrig:source-package", "value": "openssl"}],
        "licenses": [{"license": {"name": "Apache-2.0"}}, {"license": {"name": "Artistic or GPL-1+"}}],
        "hashes": [{"alg": "SHA-256", "content": digest}],
    }
    assert parts["libstdc++6"]["purl"].startswith("pkg:deb/debian/libstdc%2B%2B6@12.2.0-14%2Bdeb12u1?")
    assert parts["torch"]["licenses"] == [{"expression": "BSD-3-Clause"}]
    assert parts["torch"]["purl"] == "pkg:pypi/torch@2.13.0%2Bcpu"
    assert [one["value"] for one in parts["Some_Thing"]["properties"]] == ["11" * 32, "22" * 32]
    assert "licenses" not in parts["wordy"]
    assert len({one["bom-ref"] for one in document["components"]}) == 5


def test_one_allowed_file_is_the_hash_of_what_is_installed(contents: ImageContents) -> None:
    """Also where the lock has the version without its build."""
    document = bill_of_materials(IMAGE, contents, {}, {("torch", "2.13.0"): ["33" * 32]}, MADE)
    (torch,) = [one for one in document["components"] if one["name"] == "torch"]
    assert torch["hashes"] == [{"alg": "SHA-256", "content": "33" * 32}]


def test_locks_of_the_images_have_hashes_by_version() -> None:
    found = lock_hashes(REPOSITORY, "sam2")
    assert {name for name, _ in found} >= {"torch", "numpy", "sam2", "triton"}
    assert all(found.values())
    assert lock_hashes(REPOSITORY, "db") == {}


def problems(document: object) -> list[str]:
    """What the format's own schema has against a document, trimmed to what labelrig may write."""
    schema = json.loads(Path(__file__).with_name("cyclonedx-1.6.schema.json").read_text())
    checker = jsonschema_rs.Draft7Validator(schema, validate_formats=True)
    return [f"{'.'.join(map(str, one.instance_path))}: {one.message}" for one in checker.iter_errors(document)]


def test_document_follows_the_schema_of_cyclonedx(contents: ImageContents) -> None:
    document = json.loads(
        json.dumps(bill_of_materials(IMAGE, contents, {"libssl3": "cd" * 32}, {("wordy", "2"): ["11" * 32]}, MADE))
    )
    assert problems(document) == []
    document["components"][0]["hashes"][0]["content"] = "not a hash"
    document["metadata"]["component"]["type"] = "picture"
    assert {one.partition(":")[0] for one in problems(document)} == {
        "metadata.component.type",
        "components.0.hashes.0.content",
    }
