"""`./inv prune`: what is found, what never is, and that only what was shown goes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import APIError

from infra.deploy import prune as deploy_prune
from infra.fleet.choice import Choice, Outcome
from infra.fleet.session import Session
from infra.lifecycle import drill_remains
from infra.pruning import leftovers as module
from infra.pruning.command import run_prune
from infra.pruning.leftovers import find_leftovers
from infra.releases.manifest import ImageRef
from infra.releases.store import Releases
from infra.roles.docker.client import EngineState
from infra.roles.images import remove, work_folder
from infra.stack.site import Site
from tests.unit.infra.deploy_bench import Here, LabHost, host_settings, options, quiet
from tests.unit.infra.releases.release_bench import FACTS, NOW, files
from tests.unit.infra.services.services_bench import make_bench

LABEL = "org.labelrig.project"
ONEOFF = ["com.docker.compose.project=labelrig", "com.docker.compose.oneoff=True"]


class FakeEngine:
    """Images by id with tags and labels, the later the newer; those of `used` have a container."""

    def __init__(self) -> None:
        self.pictures: dict[str, tuple[list[str], dict[str, str]]] = {}
        self.used: list[str] = []
        self.ended: list[str] = []
        self.removed: list[str] = []
        self.refused: list[str] = []
        self.images = SimpleNamespace(list=self._images, remove=self._remove)
        self.containers = SimpleNamespace(list=self._containers, get=self._container)
        self.api = SimpleNamespace(containers=lambda all: [{"ImageID": one} for one in self.used])

    def __call__(self, *_arguments: object, **_options: object) -> FakeEngine:
        return self

    def close(self) -> None:
        pass

    def df(self) -> dict[str, Any]:
        return {"BuildCache": [{"Size": 3 << 29, "InUse": False}, {"Size": 1 << 30, "InUse": True}]}

    def add(self, *tags: str, project: str | None = "labelrig") -> None:
        labels = {LABEL: project} if project else {}
        self.pictures[f"sha256:{len(self.pictures)}"] = (list(tags), labels)

    def _images(self, filters: dict[str, Any] | None = None) -> list[SimpleNamespace]:
        wanted = filters or {}
        key, _, value = str(wanted.get("label", "")).partition("=")
        return [
            SimpleNamespace(
                id=one, tags=tags, labels=labels, attrs={"Created": f"2026-11-{int(one[7:]) + 1:02d}", "Size": 1 << 20}
            )
            for one, (tags, labels) in self.pictures.items()
            if (not key or labels.get(key) == (value or labels.get(key, "no")))
            and (not wanted.get("dangling") or not tags)
        ]

    def _remove(self, name: str) -> None:
        if name in self.refused:
            raise APIError("conflict: a child")
        self.removed.append(name)
        for one, (tags, _) in list(self.pictures.items()):
            if name in tags:
                tags.remove(name)
            if one == name or (not tags and one not in self.used):
                self.pictures.pop(one, None)

    def _containers(self, *, all: bool, filters: dict[str, Any], ignore_removed: bool) -> list[SimpleNamespace]:
        assert filters == {"label": ONEOFF, "status": ["created", "exited", "dead"]}
        return [SimpleNamespace(name=one) for one in self.ended]

    def _container(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(remove=lambda: (self.removed.append(name), self.ended.remove(name)))


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    one = FakeEngine()
    for part in (module, deploy_prune, remove):
        monkeypatch.setattr(part, "engine_client", one)
    monkeypatch.setattr(module, "engine_state", lambda _host: EngineState.ANSWERS)
    return one


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which work folders are made."""
    folder = tmp_path / "var"
    folder.mkdir()
    monkeypatch.setattr(work_folder, "FOLDER", str(folder))
    return folder


@pytest.fixture
def choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: FakeEngine, work: Path) -> Choice:
    """A host with four releases of which two stay, and another stack's one."""
    bench = make_bench(tmp_path, monkeypatch)
    root = bench.base.parent
    for path in (bench.base / "current").iterdir():
        path.unlink()
    (bench.base / "current").rmdir()
    for stack, tags in (("labelrig", ("1", "2", "3", "4")), ("other", ("2",))):
        for minute, tag in enumerate(tags):
            releases = Releases(LabHost(), str(root / stack), lambda minute=minute: NOW.replace(minute=minute))  # type: ignore[misc]
            images = {"sam2": ImageRef(tag=f"labelrig/sam2:{tag}")}
            made = releases.write(files(), FACTS.model_copy(update={"images": images}))
            releases.activate(made.id)
            releases.mark(made.id, "passed")
    bench.choice.inventory.write_text(f"hosts: {{gpu01: {{address: 10.0.0.1, root: {root}, keep_releases: 2}}}}\n")
    for tag in ("labelrig/sam2:1", "labelrig/sam2:2", "labelrig/sam2:3", "labelrig/sam2:4", "labelrig/sam2:5"):
        engine.add(tag)
    return bench.choice


def in_json(outcome: Outcome) -> Any:
    (host,) = json.loads(outcome.shown(json=True, junit=None))["hosts"]
    return host


def names(outcome: Outcome) -> list[tuple[str, str]]:
    return [(one["kind"], one["name"]) for one in in_json(outcome)["leftovers"]]


class No(Exception):
    pass


def no(_what: str) -> None:
    raise No


def test_drill_that_was_cut_off_can_go(choice: Choice, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said that it may go on; a stack of the lab that bears its name is no drill."""
    monkeypatch.setattr(drill_remains, "run_docker", lambda *_, **__: SimpleNamespace(stdout=""))
    base = choice.inventory.parent / "srv/labelrig"
    (base / "drill").mkdir()
    shown = run_prune(choice, options("prune"), confirm=None, dry_run=True)
    assert ("drill", "labelrig-drill") in names(shown)
    assert "gpu01: a drill was cut off, or goes on; where it goes on, let it end first" in in_json(shown)["notices"]
    (base.parent / "labelrig-drill").mkdir()
    assert ("drill", "labelrig-drill") not in names(run_prune(choice, options("prune"), confirm=None, dry_run=True))
    (base.parent / "labelrig-drill").rmdir()
    assert run_prune(choice, options("prune"), confirm=None, dry_run=False).exit_code == 0
    assert not (base / "drill").exists()


def test_what_can_go_is_shown_with_sizes_and_kept(choice: Choice, engine: FakeEngine, work: Path) -> None:
    """Also an image of a release that goes; not one that another stack's release names, nor one that is used."""
    engine.add("lab/own:1", project=None)
    engine.add("labelrig/base:bookworm-1-a")
    engine.add("labelrig/base:bookworm-1-b")
    engine.add()
    engine.add(project=None)
    engine.ended.append("labelrig-volumes-run-1")
    engine.used.append("sha256:4")
    (work / "labelrig-build.labelrig.abc").mkdir()
    (work / "labelrig-build.other.abc").mkdir()
    (work / "somebody-elses").mkdir()
    outcome = run_prune(choice, options("prune"), confirm=None, dry_run=True)
    releases = sorted(path.name for path in choice.inventory.parent.glob("srv/labelrig/releases/*"))
    assert names(outcome) == [
        ("release", releases[0]),
        ("release", releases[1]),
        ("container", "labelrig-volumes-run-1"),
        ("image", "labelrig/sam2:1"),
        ("image", "labelrig/base:bookworm-1-a"),
        ("image", "sha256:8"),
        ("work folder", str(work / "labelrig-build.labelrig.abc")),
    ]
    assert "  image  labelrig/sam2:1 " in outcome.text
    assert "  1 MiB\n" in outcome.text
    assert outcome.text.endswith(
        "  not touched: 1.5 GiB of build cache, which everybody on the engine shares (`docker builder prune`)"
    )
    assert engine.removed == []
    assert not (choice.inventory.parent / "srv/labelrig/audit.jsonl").exists()


def test_it_asks_and_removes_what_was_shown(choice: Choice, engine: FakeEngine, work: Path) -> None:
    folder = work / "labelrig-base.labelrig.abc"
    (folder / "root").mkdir(parents=True)
    with pytest.raises(No):
        run_prune(choice, options("prune"), confirm=no, dry_run=False)
    assert folder.exists()

    def yes(what: str) -> None:
        assert "labelrig/sam2:1" in what
        assert what.endswith("All of this is removed. No project, annotation or account is among it.")
        engine.add("labelrig/sam2:6")  # while the person reads

    outcome = run_prune(choice, options("prune"), confirm=yes, dry_run=False)
    assert outcome.exit_code == 0, outcome.text
    assert engine.removed == ["labelrig/sam2:1", "labelrig/sam2:5"]
    assert not folder.exists()
    assert len(list(choice.inventory.parent.glob("srv/labelrig/releases/*"))) == 2
    again = run_prune(choice, options("prune"), confirm=None, dry_run=False)
    assert [one["name"] for one in in_json(again)["removed"]] == ["labelrig/sam2:6"]
    last = run_prune(choice, options("prune"), confirm=no, dry_run=False)
    assert last.text.splitlines()[:2] == ["gpu01", "  nothing to remove"]


def test_what_cannot_go_stops_nothing_and_is_an_error(choice: Choice, engine: FakeEngine) -> None:
    engine.refused = ["labelrig/sam2:1"]
    outcome = run_prune(choice, options("prune"), confirm=None, dry_run=False)
    assert outcome.exit_code == 1
    assert outcome.results[0].error == "gpu01: labelrig/sam2:1 cannot be removed: conflict: a child"
    assert engine.removed == ["labelrig/sam2:5"]


def test_without_an_engine_the_rest_is_found(
    choice: Choice, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "engine_state", lambda _host: EngineState.SILENT)
    outcome = run_prune(choice, options("prune"), confirm=None, dry_run=True)
    assert {kind for kind, _ in names(outcome)} == {"release"}
    assert any("no Docker engine answers" in one for one in in_json(outcome)["notices"])


@pytest.fixture
def here(tmp_path: Path, engine: FakeEngine, work: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """The names of the images that can go on this machine, whose stack names one of an older build."""
    current = "labelrig/sam2:0.2.0-current"
    monkeypatch.setattr(module, "_recipes", lambda: {current, "labelrig/base:bookworm-x"})
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "stack.env").write_text("LABELRIG_SAM2_IMAGE='labelrig/sam2:0.2.0-serves-p1'\n")

    def find() -> list[str]:
        one = Session(Here("prune", options().settings, options().commit), LabHost(), quiet(), options().owner())
        monkeypatch.setattr(LabHost, "is_local", True)
        settings = host_settings()
        one.site = Site(one.host, settings, str(tmp_path / "state"), "/stack", "/.env", lambda: settings)  # type: ignore[arg-type,return-value]
        return [left.name for left in find_leftovers(one) if left.kind == "image"]

    return find


def test_here_the_newest_build_of_this_clone_stays(here: Callable[[], list[str]], engine: FakeEngine) -> None:
    """It is sent to servers, whether or not a stack runs here."""
    engine.add("labelrig/base:bookworm-x-p1")
    engine.add("labelrig/sam2:0.2.0-current-p1")
    engine.add("labelrig/sam2:0.2.0-current-p2")
    engine.add("labelrig/sam2:0.2.0-serves-p1")
    engine.add("labelrig/sam2:0.1.0-older-p1")
    engine.add("labelrig/sam2:0.1.0-theirs-p1", project="another")
    assert sorted(here()) == ["labelrig/sam2:0.1.0-older-p1", "labelrig/sam2:0.2.0-current-p1"]


def test_recipes_are_those_of_this_clone() -> None:
    recipes = module._recipes()
    assert {one.partition(":")[0] for one in recipes if one.startswith("labelrig/")} >= {
        *("labelrig/label-studio", "labelrig/sam2", "labelrig/proxy", "labelrig/postgres", "labelrig/base"),
    }
