"""The role nvidia: one file for each state, facts and setting -> choice, words and changes."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml

from core.errors import CommandTimedOut, HostError, PreflightError
from core.report import Report
from core.repository import REPOSITORY
from infra.roles.docker.apt import ENVIRONMENT, NO_CACHE, OPTIONS
from infra.roles.docker.daemon_json import owed_file
from infra.roles.images.tags import pinned_version
from infra.roles.nvidia.choice import (
    CAPABILITY_NEEDED,
    DRIVER_NEEDED,
    TORCH_BUILDS,
    GpuChoice,
    GpuState,
    judge,
)
from infra.roles.nvidia.devices import LINK, MISSING_SCRIPT, RULE, RULE_FILE
from infra.roles.nvidia.facts import (
    CAPABILITY,
    FIELDS,
    LIBRARY_SCRIPT,
    PCI_SCRIPT,
    PROC_VERSION,
    SYS_VERSION,
    Gpu,
    read_gpu,
    smi_query,
    version_numbers,
)
from infra.roles.nvidia.role import choose_gpu, nvidia_role
from infra.roles.nvidia.toolkit import (
    KEYRING_FILE,
    SOURCE_FILE,
    ToolkitInstalled,
    ToolkitSource,
    new_enough,
)
from tests.fakes import FakeHost
from tests.nvidia_shim.keys import OTHER_FINGERPRINT, OTHER_KEY, TEST_FINGERPRINT, TEST_KEY

CASES = sorted((Path(__file__).parent / "cases").glob("*.yaml"))
QUERY = smi_query((*FIELDS, CAPABILITY))
POLICY = ("env", "LC_ALL=C.UTF-8", "apt-cache", *NO_CACHE, "policy", "nvidia-container-toolkit")
DPKG = ("dpkg-query", "-W", "-f", "${db:Status-Status}|${Version}", "nvidia-container-toolkit")
SOURCE = ToolkitSource(fingerprint=TEST_FINGERPRINT)


def machine(facts: Mapping[str, Any]) -> FakeHost:
    host = FakeHost()
    host.script("sh", "-c", PCI_SCRIPT, stdout=facts.get("pci", ""))
    host.script("sh", "-c", LIBRARY_SCRIPT, stdout=facts.get("library", ""))
    host.script("sh", "-c", MISSING_SCRIPT, stdout="\n".join(facts.get("unlinked", [])))
    host.script("test", "-d", "/run/systemd/system", exit_code=0 if facts.get("systemd") else 1)
    smi = facts.get("smi", {"exit": 127})
    if smi.get("hangs"):
        host.answers[QUERY] = CommandTimedOut("fake host: `nvidia-smi` did not end in 60 s")
    else:
        host.script(*QUERY, exit_code=smi["exit"], stdout=smi.get("stdout", ""))
    texts = {
        PROC_VERSION: facts.get("proc"),
        SYS_VERSION: facts.get("sys"),
        RULE_FILE: RULE if facts.get("rule") else None,
        "/etc/docker/daemon.json": facts.get("daemon"),
    }
    host.files |= {path: text.encode() for path, text in texts.items() if text is not None}
    script_packages(host, facts)
    return host


def script_packages(host: FakeHost, facts: Mapping[str, Any]) -> None:
    if "ctk" in facts:
        host.files["/etc/os-release"] = b'ID=fedora\nVERSION_ID=42\nPRETTY_NAME="Fedora Linux 42"\n'
        host.script(*DPKG, exit_code=127)
        host.script("nvidia-ctk", "--version", stdout=f"{facts['ctk']}\ncommit: 9a3f1c2\n")
        return
    installed = facts.get("toolkit", "")
    host.script(*DPKG, exit_code=0 if installed else 1, stdout=installed)
    script_candidate(host, facts.get("candidate"))
    host.script("dpkg", "--print-architecture", stdout="amd64\n")
    addresses = ["http://mirror.lab/debian/dists/bookworm/InRelease", *facts.get("addresses", [])]
    host.script(
        "apt-get", *NO_CACHE, "update", "--print-uris", stdout="".join(f"'{one}' a_file 0 \n" for one in addresses)
    )


def script_candidate(host: FakeHost, candidate: str | None) -> None:
    answer = f"nvidia-container-toolkit:\n  Installed: (none)\n  Candidate: {candidate or '(none)'}\n"
    host.script(*POLICY, stdout=answer)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_case(path: Path) -> None:
    case = yaml.safe_load(path.read_text())
    host = machine(case["machine"])
    said = io.StringIO()
    report = Report(said)
    facts = read_gpu(host)
    torch_cuda = case.get("torch_cuda", "13.0")
    if "state" in case:
        assert judge(facts, torch_cuda)[0] is GpuState[case["state"]]
    if "problem" in case:
        with pytest.raises(PreflightError) as refused:
            choose_gpu(facts, case["gpu"], torch_cuda, report)
        (problem,) = refused.value.problems
        assert case["problem"] in problem
        return
    choice = choose_gpu(facts, case["gpu"], torch_cuda, report)
    assert choice.use is case["use"]
    for words in case.get("says", []):
        assert words in said.getvalue()
    operations = nvidia_role(host, report, choice, lambda: None)
    before = dict(host.files)
    if "refused" in case:
        with pytest.raises(HostError) as caught:
            [change for operation in operations for change in operation.plan()]
        assert case["refused"] in str(caught.value)
        return
    assert [change.summary for operation in operations for change in operation.plan()] == case["changes"]
    assert host.files == before


def test_there_is_a_case_for_every_state() -> None:
    states = {yaml.safe_load(path.read_text()).get("state") for path in CASES}
    assert states >= {state.name for state in GpuState}


def test_knows_cuda_of_pinned_torch_and_its_needs() -> None:
    """The cuda of the pinned torch is known and so is what it needs."""
    cuda = TORCH_BUILDS[pinned_version(REPOSITORY / "requirements" / "torch.in", "torch")]
    family = version_numbers(cuda)[0]
    assert family in DRIVER_NEEDED
    assert family in CAPABILITY_NEEDED


def test_drivers_that_do_not_know_a_field_are_asked_without_it() -> None:
    host = machine({"smi": {"exit": 2, "stdout": 'Field "compute_cap" is not a valid field to query.\n'}})
    host.script(*smi_query(FIELDS), stdout="0, Tesla K80, GPU-c, 11441, 470.256.02\n")
    facts = read_gpu(host)
    assert facts.gpus == (Gpu(0, "Tesla K80", "GPU-c", 11441, "470.256.02", None),)
    assert judge(facts, "12.6")[0] is GpuState.DRIVER_TOO_OLD


def test_a_plain_user_is_enough_to_look_and_nothing_is_written() -> None:
    host = machine({})
    read_gpu(host)
    assert host.commands == [QUERY, ("sh", "-c", PCI_SCRIPT), ("sh", "-c", LIBRARY_SCRIPT)]


@pytest.mark.parametrize(
    ("version", "enough"),
    [
        ("1.17.8-1", True),
        ("1.17.8", True),
        ("1.18.0~rc.1-1", True),
        ("1.100.0-1", True),
        ("1.17.7-1", False),
        ("1.17.8~rc.1-1", False),
        ("1.9.0-1", False),
        ("", False),
    ],
)
def test_versions_with_known_ways_out_are_not_enough(version: str, enough: bool) -> None:
    assert new_enough(version) is enough


def test_other_engine_settings_share_the_restart() -> None:
    """Other engine settings come with the same restart, and without a GPU too."""
    rotation = {"log-driver": "json-file"}
    used = GpuChoice(True, GpuState.READY, "it works")
    host = machine({"toolkit": "installed|1.18.0-1"})
    changes = [
        change
        for operation in nvidia_role(host, Report(), used, lambda: None, engine_settings=rotation)
        for change in operation.plan()
    ]
    assert len(changes) == 1
    assert '+  "log-driver": "json-file"' in changes[0].diff
    assert '+      "path": "nvidia-container-runtime"' in changes[0].diff
    idle = GpuChoice(False, GpuState.NONE, "there is none")
    (operation,) = nvidia_role(host, Report(), idle, lambda: None, engine_settings=rotation)
    assert "nvidia" not in operation.plan()[0].diff


def apt_get(*args: str) -> tuple[str, ...]:
    return (*ENVIRONMENT, "apt-get", *OPTIONS, *args)


def toolkit(host: FakeHost, key: bytes = TEST_KEY, source: ToolkitSource = SOURCE) -> ToolkitInstalled:
    asked: list[str] = []

    def fetch(url: str) -> bytes:
        asked.append(url)
        assert url == source.key
        return key

    return ToolkitInstalled(host, Report(), source, fetch=fetch)


def test_key_and_source_come_first_then_a_restart() -> None:
    """Key and source come first and the engine is to be restarted."""
    host = machine({})
    key, source, install = toolkit(host).plan()
    key.apply()
    source.apply()
    assert host.modes == {KEYRING_FILE: 0o644, SOURCE_FILE: 0o644}
    assert host.files[SOURCE_FILE].decode() == (
        "# Written by labelrig: nvidia-container-toolkit, which hands GPUs to containers.\n"
        "Types: deb\n"
        "URIs: https://nvidia.github.io/libnvidia-container/stable/deb/$(ARCH)\n"
        "Suites: /\n"
        "Signed-By: /etc/apt/keyrings/labelrig-nvidia.gpg\n"
    )
    # A run that is stopped here goes on here: what is written is not written again.
    assert [change.summary for change in toolkit(host).plan()] == [install.summary]
    host.script(*apt_get("update"))
    host.script(*apt_get("install", "--simulate", "nvidia-container-toolkit"))
    host.script(*apt_get("install", "nvidia-container-toolkit"))
    script_candidate(host, "1.18.0-1")
    install.apply()
    assert host.files[owed_file()] == b"\n"


def test_an_upgrade_owes_no_restart() -> None:
    host = machine({"toolkit": "installed|1.16.2-1", "candidate": "1.18.0-1"})
    host.script(*apt_get("install", "--simulate", "nvidia-container-toolkit"))
    host.script(*apt_get("install", "nvidia-container-toolkit"))
    (change,) = toolkit(host).plan()
    assert change.summary == "upgrade nvidia-container-toolkit 1.16.2-1 to 1.18.0-1 with apt"
    change.apply()
    assert owed_file() not in host.files


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        (OTHER_KEY, f"holds the key {OTHER_FINGERPRINT}, and {TEST_FINGERPRINT} was expected; nothing was installed"),
        (b"<html>sign in to the lab's network</html>", "is no OpenPGP key: it has no block of a public key"),
    ],
)
def test_another_key_is_refused_before_anything_is_written(key: bytes, problem: str) -> None:
    host = machine({})
    with pytest.raises(HostError) as caught:
        toolkit(host, key).plan()[0].apply()
    assert problem in str(caught.value)
    assert KEYRING_FILE not in host.files


def test_a_key_that_somebody_replaced_is_written_again() -> None:
    host = machine({})
    host.files |= {SOURCE_FILE: SOURCE.text().encode(), KEYRING_FILE: b"\x99broken"}
    assert toolkit(host).plan()[0].summary.startswith(f"write {KEYRING_FILE}")


@pytest.mark.parametrize(
    ("candidate", "offer"),
    [("1.17.6-1", "nvidia-container-toolkit 1.17.6-1"), (None, "no nvidia-container-toolkit")],
)
def test_apt_without_a_good_version_installs_nothing(candidate: str | None, offer: str) -> None:
    """Apt without a good version is one error and nothing is installed."""
    host = machine({"candidate": candidate})
    host.script(*apt_get("update"))
    with pytest.raises(HostError) as caught:
        toolkit(host).plan()[-1].apply()
    assert f"fake host: apt offers {offer}, and 1.17.8 or newer is needed" in str(caught.value)
    assert "can the machine reach https://nvidia.github.io/libnvidia-container/stable/deb/$(ARCH)" in str(caught.value)
    assert apt_get("install", "nvidia-container-toolkit") not in host.commands


def test_device_nodes_are_linked_now_and_at_the_next_start() -> None:
    host = machine({"systemd": True, "unlinked": ["/dev/nvidia0"]})
    host.script(*LINK)
    choice = GpuChoice(True, GpuState.READY, "it works")
    rule, link = nvidia_role(host, Report(), choice, lambda: None)[1].plan()
    rule.apply()
    link.apply()
    assert host.files[RULE_FILE].decode() == (
        'ACTION=="add", DEVPATH=="/bus/pci/drivers/nvidia", '
        'RUN+="/usr/bin/nvidia-ctk system create-dev-char-symlinks --create-all"\n'
    )


@pytest.mark.parametrize("setting", ["auto", "require"])
def test_notice_only_where_a_gpu_stands_idle(setting: Literal["auto", "require"]) -> None:
    """A notice is given where a gpu stands idle and only there."""
    report = Report(io.StringIO())
    choose_gpu(read_gpu(machine({})), "auto", "13.0", report)
    assert report.notices == []
    facts = read_gpu(machine({"pci": "0000:01:00.0 0x10de 0x030000 -\n"}))
    if setting == "require":
        with pytest.raises(PreflightError):
            choose_gpu(facts, setting, "13.0", report)
        assert report.notices == []
    else:
        choose_gpu(facts, setting, "13.0", report)
        assert len(report.notices) == 1
