"""Releases on a host. Only `host` and `home` say which host: the bodies speak to it alone."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from pathlib import Path

import pytest

from core.errors import LabelrigError
from core.operation import Previewer, converge
from core.report import Report
from hosts.base import Host
from hosts.local import LocalHost
from infra.releases.archive import packed
from infra.releases.manifest import FileFacts, ImageRef
from infra.releases.store import WRITE, ReleaseActive, Releases
from infra.roles.stack.render import RenderedFile
from tests.unit.infra.releases.release_bench import FACTS, SECRET, SQLITE, Clock, files


@pytest.fixture
def host() -> Host:
    return LocalHost()


@pytest.fixture
def home(tmp_path: Path, host: Host) -> str:
    home = str(tmp_path / "rig")
    host.run("mkdir", home, as_root=True)
    return home


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def releases(host: Host, home: str, clock: Clock) -> Releases:
    return Releases(host, home, clock)


def lines(host: Host, *argv: str) -> list[str]:
    return sorted(host.run(*argv, as_root=True).stdout.splitlines())


class TestWrite:
    def test_a_release_is_read_as_it_was_written(self, releases: Releases) -> None:
        written = releases.write(files(), FACTS)
        assert str(written.id) == "20250301T100000Z-607e07e"
        (found,) = releases.read().releases
        assert found == written
        assert (found.gate, found.damaged()) == ("pending", [])
        assert found.manifest is not None
        assert dict(found.manifest)["images"] == FACTS.images
        assert found.manifest.made_at == "2025-03-01T10:00:00Z"
        read = {
            Path(file.path).name: (file.content, file.mode)
            for file in (releases.read_file(found, name) for name in found.files)
        }
        assert read == {Path(file.path).name: (file.content, file.mode) for file in files()}
        assert releases.current() is None

    def test_a_manifest_of_an_earlier_version_is_read(self, releases: Releases, home: str) -> None:
        """A key that labelrig no longer writes does not make a release unreadable."""
        written = releases.write(files(), FACTS)
        path = Path(home) / "releases" / str(written.id) / "release.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "settings_digest": "abc"}))
        (found,) = releases.read().releases
        assert found.manifest == written.manifest

    def test_nobody_but_root_comes_near_the_secrets(self, host: Host, home: str, releases: Releases) -> None:
        written = releases.write(files(), FACTS)
        folder = f"{home}/releases/{written.id}"
        assert lines(host, "stat", "-c", "%a %u %n", f"{home}/releases", folder, f"{folder}/stack.env") == [
            f"600 0 {folder}/stack.env",
            f"700 0 {home}/releases",
            f"700 0 {folder}",
        ]

    def test_order_survives_same_second_and_clock_going_back(self, releases: Releases, clock: Clock) -> None:
        """Two in one second and a clock that goes back keep the order."""
        made = [releases.write(files(), FACTS).id]
        made.append(releases.write(files(), FACTS.model_copy(update={"dirty": True})).id)
        clock.now -= timedelta(days=3)
        made.append(releases.write(files(), FACTS).id)
        assert [str(one)[16:] for one in made] == ["-607e07e", "-607e07e-dirty.2", "-607e07e.3"]
        assert [one.id for one in releases.read().releases] == made == sorted(made)

    @pytest.mark.parametrize("cut", [1, 600, 3000, -1500])
    def test_an_archive_that_did_not_arrive_whole_is_no_release(
        self, host: Host, home: str, releases: Releases, cut: int
    ) -> None:
        whole = packed(files(), b"{}" * 400)
        result = host.run(
            "sh", "-c", WRITE, "write-release", home, "x", ok=(74,), stdin=whole[:cut].rstrip(b"\0"), as_root=True
        )
        assert result.stderr
        assert releases.read().releases == ()
        releases.write(files(), FACTS)
        assert len(lines(host, "ls", "-A", f"{home}/releases")) == 1

    def test_a_place_that_cannot_be_written_is_one_clear_sentence(self, host: Host, tmp_path: Path) -> None:
        file = str(tmp_path / "file")
        host.write(file, b"")
        with pytest.raises(LabelrigError, match=rf"^{host.name}: release 2025\S+ cannot be written in .*/file \(.+\)"):
            Releases(host, file, Clock()).write(files(), FACTS)

    @pytest.mark.parametrize("name", ["release.json", ".hidden", "a b", "naïve"])
    def test_a_name_that_cannot_be_a_releases_file_is_refused(self, releases: Releases, name: str) -> None:
        with pytest.raises(ValueError, match="not the name of a release's file"):
            releases.write([RenderedFile(f"/x/{name}", b"", 0o644)], FACTS)

    def test_two_files_of_one_name_are_refused(self, releases: Releases) -> None:
        twice = [RenderedFile(f"/{folder}/a", b"", 0o644) for folder in "xy"]
        with pytest.raises(ValueError, match="same name"):
            releases.write(twice, FACTS)


class TestCurrent:
    def test_it_moves_from_one_to_the_other(self, host: Host, home: str, releases: Releases) -> None:
        first, second = releases.write(files(), FACTS), releases.write(files(), FACTS)
        for one in (first, second, first):
            releases.activate(one.id)
            assert releases.current() == one
            assert host.run("readlink", f"{home}/current", as_root=True).stdout == f"releases/{one.id}\n"
        assert lines(host, "ls", "-A", home) == ["current", "releases"]

    def test_there_is_no_way_to_a_release_that_is_not_there(self, releases: Releases) -> None:
        first = releases.write(files(), FACTS)
        releases.activate(first.id)
        with pytest.raises(LabelrigError, match=r"there is no release 20250301T100000Z-607e07e\.2; nothing"):
            releases.activate(releases.next_id(releases.read(), FACTS))
        assert releases.current() == first

    def test_the_gate_is_recorded_with_what_was_seen(self, releases: Releases) -> None:
        one = releases.write(files(), FACTS)
        releases.mark(one.id, "passed", model_version="demo-1", database_state=SQLITE)
        releases.mark(one.id, "failed")
        (found,) = releases.read().releases
        assert found.manifest is not None
        assert (found.gate, found.manifest.model_version, found.manifest.database_state) == ("failed", "demo-1", SQLITE)
        assert found.damaged() == []

    def test_no_host_folder_yet(self, host: Host, tmp_path: Path) -> None:
        assert Releases(host, str(tmp_path / "absent"), Clock()).read().releases == ()


class TestLook:
    def test_what_was_touched_by_hand_is_seen(self, host: Host, home: str, releases: Releases) -> None:
        one = releases.write(files(), FACTS)
        folder = f"{home}/releases/{one.id}"
        host.run("chmod", "644", f"{folder}/blob.bin", as_root=True)
        host.write(f"{folder}/compose.yaml", b"other\n", as_root=True)
        host.run("rm", f"{folder}/stack.env", as_root=True)
        assert releases.read().releases[0].damaged() == ["blob.bin", "compose.yaml", "stack.env"]

    def test_unreadable_manifest_is_a_release_that_cannot_serve(
        self, host: Host, home: str, releases: Releases
    ) -> None:
        """A manifest that cannot be read is a release that cannot serve."""
        one = releases.write(files(), FACTS)
        host.write(f"{home}/releases/{one.id}/release.json", b"{", as_root=True)
        host.run("mkdir", f"{home}/releases/backup of mine", f"{home}/releases/.x.part", as_root=True)
        (found,) = releases.read().releases
        assert (found.id, found.manifest, found.gate, found.damaged()) == (one.id, None, "failed", ["release.json"])
        with pytest.raises(LabelrigError, match=r"has no readable release\.json"):
            releases.mark(one.id, "passed")

    def test_many_releases_are_one_round_trip(self, home: str, releases: Releases) -> None:
        class Counting(LocalHost):
            trips = 0

            def run(self, *argv: str, **options: object) -> object:  # type: ignore[override]
                self.trips += 1
                return LocalHost().run(*argv, **options)  # type: ignore[arg-type]

        for _ in range(4):
            releases.write(files(), FACTS)
        counting = Counting()
        assert len(Releases(counting, home).read().releases) == 4
        assert counting.trips == 1


def test_pruning_leaves_the_newest_and_what_is_needed(host: Host, home: str, releases: Releases) -> None:
    made = [releases.write(files(), FACTS).id for _ in range(5)]
    releases.mark(made[0], "passed")
    releases.activate(made[1])
    assert releases.prune(2) == (made[2],)
    assert lines(host, "ls", "-A", f"{home}/releases") == sorted(str(one) for one in (*made[:2], *made[3:]))
    assert releases.prune(2) == ()


class TestReleaseActive:
    def test_first_deploy_writes_a_release_and_second_nothing(self, releases: Releases) -> None:
        """The first deploy writes one and makes it current and the second nothing."""
        operation = ReleaseActive(releases, files(), FACTS)
        summaries = [change.summary for change in operation.plan()]
        assert summaries == [
            "write release 20250301T100000Z-607e07e",
            "make 20250301T100000Z-607e07e current",
        ]
        assert converge([operation], Report(io.StringIO())) == 2
        current = releases.current()
        assert current is not None
        assert [one.id for one in releases.read().releases] == [current.id]
        again = ReleaseActive(releases, files(folder="/elsewhere"), FACTS.model_copy(update={"commit": "f" * 40}))
        assert again.plan() == []
        assert len(releases.read().releases) == 1

    @pytest.mark.parametrize("gate", ["pending", "passed", "failed"])
    def test_only_a_release_that_failed_is_made_again(self, releases: Releases, gate: str) -> None:
        converge([ReleaseActive(releases, files(), FACTS)], Report(io.StringIO()))
        current = releases.current()
        assert current is not None
        releases.mark(current.id, gate)  # type: ignore[arg-type]
        operation = ReleaseActive(releases, files(), FACTS)
        changes = operation.plan()
        assert bool(changes) == (gate == "failed")
        if changes:
            assert changes[0].diff == f"gate of {current.id}: failed, so it is tried again as a new release"
            converge([operation], Report(io.StringIO()))
            assert operation.plan() == []

    def test_the_plan_shows_what_differs_and_no_secret(self, releases: Releases) -> None:
        converge([ReleaseActive(releases, files(), FACTS)], Report(io.StringIO()))
        env, compose, _blob = files("services: {a: 1}\n", secret="another-secret")
        new = [env, compose, RenderedFile("/x/key.pem", b"PRIVATE\n", 0o600)]
        report = Report(stream := io.StringIO())
        with report.stage("release"):
            Previewer(report).run([ReleaseActive(releases, new, FACTS)])
        shown = stream.getvalue()
        for secret in (SECRET, "another-secret", "PRIVATE"):
            assert secret not in shown
        assert report.diffs[0]["diff"].splitlines() == [
            "--- blob.bin (now)",
            "+++ blob.bin (new)",
            "@@ -1 +0,0 @@",
            "-�\0",
            "--- compose.yaml (now)",
            "+++ compose.yaml (new)",
            "@@ -1 +1 @@",
            "-services: {}",
            "+services: {a: 1}",
            "key.pem: (secret content differs)",
            "stack.env: (secret content differs)",
        ]
        assert len(releases.read().releases) == 1

    def test_a_mode_alone_is_a_difference(self, releases: Releases) -> None:
        converge([ReleaseActive(releases, files(), FACTS)], Report(io.StringIO()))
        env, compose, blob = files()
        closed = [env, RenderedFile(compose.path, compose.content, 0o640), blob]
        assert ReleaseActive(releases, closed, FACTS).plan()[0].diff == "compose.yaml: mode 644 -> 640"

    def test_another_image_behind_the_same_tag_is_a_difference(self, releases: Releases) -> None:
        converge([ReleaseActive(releases, files(), FACTS)], Report(io.StringIO()))

        def with_id(image_id: str) -> ReleaseActive:
            image = ImageRef(tag="labelrig/sam2:1", id=image_id)
            return ReleaseActive(releases, files(), FACTS.model_copy(update={"images": {"sam2": image}}))

        assert with_id("").plan() == []
        operation = with_id("sha256:s2")
        diff = "image of sam2: labelrig/sam2:1 sha256:s1 -> labelrig/sam2:1 sha256:s2"
        assert operation.plan()[0].diff == diff
        converge([operation], Report(io.StringIO()))
        assert operation.plan() == []

    def test_a_release_damaged_by_hand_is_replaced(self, host: Host, home: str, releases: Releases) -> None:
        converge([ReleaseActive(releases, files(), FACTS)], Report(io.StringIO()))
        host.write(f"{home}/current/compose.yaml", b"mine\n", as_root=True)
        converge([ReleaseActive(releases, files(), FACTS)], Report(io.StringIO()))
        current = releases.current()
        assert current is not None
        assert current.files["compose.yaml"] == FileFacts.of(files()[1])
        assert len(releases.read().releases) == 2
