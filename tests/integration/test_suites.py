"""What apt reads from a Debian mirror for the names of our images, with a real apt and a mirror of the test's own."""

from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.report import Report
from core.repository import REPOSITORY
from infra.config.settings import Settings
from infra.roles.images import build, role
from infra.roles.images.build import ImagesBuilt, ImageSet
from infra.roles.images.packages import PACKAGES_LABEL, UNKNOWN, Offered, as_text, package_names
from infra.roles.images.role import plan_images
from infra.roles.images.suites import DAY, RETRY_SECONDS, Behind, Suites
from tests.debian_mirror import DebianMirror, MachineOfMirror
from tests.nvidia_shim.repository import Signer
from tests.unit.infra.deploy_bench import Engine

pytestmark = pytest.mark.skipif(
    not (shutil.which("apt-get") and shutil.which("gpg")), reason="needs apt, and gpg to sign the mirror"
)
RELEASE = {"openssl": "3.0.20-1~deb12u2", "libexpat1": "2.5.0-1+deb12u2", "bash": "5.2.15-2+b7"}
FIX = {"openssl": "3.0.22-1~deb12u2"}
NAMES = ("openssl", "libexpat1", "bash", "no-such-package")


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signer]:
    one = Signer(tmp_path_factory.mktemp("signer") / "gnupg")
    yield one
    one.close()


class Bench:
    def __init__(self, folder: Path, signer: Signer) -> None:
        self.mirror = DebianMirror(folder / "mirror", signer)
        self.mirror.publish("bookworm", RELEASE)
        self.host = MachineOfMirror(self.mirror)
        self.clock = Clock()
        self.keyring = str(self.mirror.keyring)
        self.folder = folder / "kept"

    @property
    def suites(self) -> Suites:
        return Suites(self.host, "x86_64", self.folder, keyring=self.keyring, clock=self.clock)

    def offered(self, *names: str, max_age: float = DAY) -> Offered:
        return self.suites.offered(names or NAMES, Report(io.StringIO()), max_age=max_age)


@pytest.fixture
def bench(tmp_path: Path, signer: Signer, monkeypatch: pytest.MonkeyPatch) -> Bench:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return Bench(tmp_path, signer)


def test_a_fix_changes_the_digest_of_names_after_a_day(bench: Bench) -> None:
    """Within the day nothing is asked, so that a mirror that moves renames no image in the middle of a run."""
    with bench.mirror.served():
        first = bench.offered()
        assert first.versions == RELEASE
        assert (first.problem, first.checked, first.security) == ("", bench.clock.now, True)
        bench.mirror.publish("bookworm-security", FIX)
        bench.clock.now += DAY - 60
        asked = len(bench.mirror.asked)
        assert bench.offered() == first
        assert (bench.host.updates, len(bench.mirror.asked)) == (1, asked)
        bench.clock.now += 120
        second = bench.offered()
    assert second.versions == RELEASE | FIX
    assert second.digest(NAMES) != first.digest(NAMES)
    assert second.digest(["bash"]) == first.digest(["bash"])


def test_half_a_day_may_be_asked_for(bench: Bench) -> None:
    with bench.mirror.served():
        bench.offered()
        bench.mirror.publish("bookworm-updates", {"bash": "5.2.15-2+b8"})
        bench.clock.now += DAY / 2 + 1
        assert bench.offered().versions == RELEASE
        assert bench.offered(max_age=DAY / 2).versions["bash"] == "5.2.15-2+b8"


def test_more_packages_are_looked_up_without_the_network(bench: Bench) -> None:
    with bench.mirror.served():
        bench.offered("bash")
    assert bench.offered("bash", "openssl").versions == {name: RELEASE[name] for name in ("bash", "openssl")}
    assert bench.host.updates == 1


def test_a_mirror_that_is_gone_leaves_what_was_known(bench: Bench) -> None:
    """It is asked again once an hour, not by every command."""
    with bench.mirror.served():
        first = bench.offered()
    bench.clock.now += 3 * DAY
    gone = bench.offered()
    assert (gone.versions, gone.checked) == (first.versions, first.checked)
    assert gone.problem.startswith("apt says: E: Failed to fetch http://127.0.0.1:"), gone.problem
    assert bench.host.updates == 2
    bench.clock.now += RETRY_SECONDS - 60
    assert bench.offered() == gone
    assert bench.host.updates == 2
    bench.clock.now += 120
    with bench.mirror.served():
        assert bench.offered().problem == ""
    assert bench.host.updates == 3


def test_without_a_mirror_nothing_is_known(bench: Bench) -> None:
    with bench.mirror.served():
        pass
    nothing = bench.offered()
    assert (nothing.known, nothing.checked) == (False, None)
    assert nothing.digest(NAMES) == UNKNOWN
    assert bench.offered() == nothing
    assert bench.host.updates == 1


def test_a_suite_that_another_key_signed_is_refused(
    bench: Bench, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = Signer(tmp_path_factory.mktemp("other") / "gnupg")  # a short path: gpg's agent has a socket there
    try:
        bench.keyring = str(DebianMirror(tmp_path / "another", other).keyring)
        with bench.mirror.served():
            refused = bench.offered()
    finally:
        other.close()
    assert not refused.known
    assert "NO_PUBKEY" in refused.problem


def test_without_debian_s_keys_it_says_what_to_install(bench: Bench) -> None:
    bench.keyring = "/no/such/keyring.gpg"
    assert bench.offered() == Offered(
        problem="/no/such/keyring.gpg is not on this machine: install debian-archive-keyring"
    )


def test_no_security_archive_in_apt_is_noticed(bench: Bench) -> None:
    bench.host.security = False
    with bench.mirror.served():
        assert bench.offered().security is False


def status(versions: dict[str, str]) -> bytes:
    return "\n".join(
        f"Package: {name}\nStatus: install ok installed\nMaintainer: test\nArchitecture: amd64\nVersion: {version}\n"
        "Description: stand-in\n"
        for name, version in versions.items()
    ).encode()


def test_says_which_packages_of_an_image_are_behind(bench: Bench) -> None:
    """Versions are compared as Debian does, by its own tool; security fixes come first."""
    with bench.mirror.served():
        bench.mirror.publish("bookworm-updates", {"bash": "5.2.15-2+b10"})
        bench.mirror.publish("bookworm-security", FIX)
        bench.offered()
    installed = {**RELEASE, "bash": "5.2.15-2+b9", "of-the-lab": "1.0"}
    assert bench.suites.behind(status(installed)) == [
        Behind("openssl", RELEASE["openssl"], FIX["openssl"], security=True),
        Behind("bash", "5.2.15-2+b9", "5.2.15-2+b10", security=False),
    ]
    assert bench.suites.behind(status(RELEASE | FIX | {"bash": "5.2.15-2+b11"})) == []
    asked = bench.host.simulated
    assert len(bench.suites.behind(status(installed))) == 2
    assert bench.host.simulated == asked, "what was found of an image holds until the suites are read again"


def test_a_published_fix_is_in_the_next_plan(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the mirror to the sentence that a person reads: nothing to do before, and a build with its reason after."""

    def offered(_here: object, repository: Path, *_arguments: object, **_options: object) -> Offered:
        return bench.offered(*package_names(repository, "postgres"))

    def planned() -> tuple[ImageSet, list[str]]:
        images = plan_images(bench.host, REPOSITORY, Settings(), Report(io.StringIO()))
        return images, [change.summary for change in ImagesBuilt(bench.host, images, Report(io.StringIO())).plan()]

    engine = Engine({})
    for module in (role, build):
        monkeypatch.setattr(module, "engine_client", engine)
    monkeypatch.setattr(role, "read_offered", offered)
    monkeypatch.setattr(role, "registry_answers", lambda *_: False)
    with bench.mirror.served():
        images, _ = planned()
        engine.tags = {f"sha256:{tag}": [tag] for tag in (images.base.sam2, *images.tags.values())}
        engine.labels = {
            f"sha256:{tag}": {PACKAGES_LABEL: as_text(images.packages(service))} for service, tag in images.tags.items()
        }
        assert planned() == (images, [])
        bench.mirror.publish("bookworm-security", FIX | {"postgresql-15": "15.99-1"})
        bench.clock.now += DAY + 1
        after, changes = planned()
    assert after.tags.keys() == images.tags.keys()
    assert changes == [
        f"build {' and '.join(after.tags.values())}, since packages moved: "
        f"openssl {RELEASE['openssl']} -> {FIX['openssl']}"
    ]


def test_hashes_are_those_of_the_versions_asked_for(bench: Bench) -> None:
    with bench.mirror.served():
        bench.mirror.publish("bookworm-security", FIX)
        bench.offered()
    wanted = {"openssl": FIX["openssl"], "bash": "0.1", "libexpat1": RELEASE["libexpat1"], "not-there": "1"}
    assert bench.suites.hashes(wanted) == {
        name: hashlib.sha256(f"{name} {wanted[name]}".encode()).hexdigest() for name in ("openssl", "libexpat1")
    }


def test_a_login_of_the_mirror_stays_the_user_s_alone(bench: Bench) -> None:
    with bench.mirror.served():
        bench.offered()
    (folder,) = bench.folder.iterdir()
    assert {oct((folder / name).stat().st_mode & 0o777) for name in ("apt_conf", "apt_auth")} == {"0o600"}
