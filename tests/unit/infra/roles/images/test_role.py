"""Which images another machine gets, and how: a table of what both engines have, against what is wished for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest

from core.errors import CannotKnow, HostError
from core.repository import REPOSITORY
from infra.config.settings import Settings
from infra.roles.docker.client import EngineState
from infra.roles.docker.packages import ENGINE, LOOK_FOR
from infra.roles.images import build as image_build
from infra.roles.images import role as module
from infra.roles.images import ship as image_ship
from infra.roles.images.build import BaseThere, ImagesBuilt
from infra.roles.images.packages import PACKAGES_LABEL, Offered, recipe_of
from infra.roles.images.role import (
    ImageOrigin,
    Way,
    plan_images,
    possible_images,
    resolve_images,
    sendable_images,
    shipped_images_role,
)
from infra.roles.images.ship import ImagesShipped
from infra.roles.images.tags import OfficialImages, debootstrap_base, image_tags, official_base
from infra.roles.images.work_folder import WorkFoldersGone, look_for
from tests.fakes import FakeHost
from tests.unit.infra.deploy_bench import Engine, quiet

SERVICES = ("db", "sam2", "label-studio")
HERE, THERE = "x86_64", "x86_64"
OFFERED = Offered({"openssl": "3.0.22-1", "postgresql-15": "15.14-1", "bash": "5.2-2"}, checked=1.8e9)
OFFICIAL = official_base(OfficialImages(), OFFERED)
OWN_BASE = debootstrap_base(REPOSITORY, THERE, OFFERED)
PUBLISHED = image_tags(REPOSITORY, OFFICIAL, SERVICES)
OURS = image_tags(REPOSITORY, OWN_BASE, SERVICES)


class Machine(FakeHost):
    """`tags` is what its engine has; None: there is no engine."""

    def __init__(self, name: str, tags: Iterable[str] | None, *, local: bool, processor: str = "x86_64") -> None:
        super().__init__()
        self.name, self.is_local = name, local
        self.script("uname", "-m", stdout=f"{processor}\n")
        self.script("sh", "-c", LOOK_FOR, "sh", ENGINE, exit_code=127 if tags is None else 0)
        self.script(*look_for(self, "labelrig"))
        self.engine = Engine({f"sha256:{tag}": [tag] for tag in tags}) if tags is not None else None


@dataclass
class Bench:
    here: Machine = field(default_factory=lambda: Machine("this machine", [], local=True))
    there: Machine = field(default_factory=lambda: Machine("gpu01", [], local=False))
    registry: bool = False
    asked: list[str] = field(default_factory=list)
    offered: Offered = OFFERED
    settings: Settings = field(default_factory=Settings)

    def settle(self, way: Way, own: dict[str, str] | None = None) -> ImageOrigin:
        return resolve_images(
            self.here, self.there, REPOSITORY, self.settings, quiet(), way=way, services=SERVICES, own=own or {}
        )

    def reads(self, *_arguments: object, **_options: object) -> Offered:
        return self.offered

    def answers(self, host: Machine, _references: list[str]) -> bool:
        self.asked.append(host.name)
        return self.registry


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    one = Bench()

    def state(host: Machine) -> EngineState:
        return EngineState.SILENT if host.engine is None else EngineState.ANSWERS

    def client(host: Machine, *_arguments: Any) -> Engine:
        assert host.engine is not None, f"{host.name} has no engine to ask"
        return host.engine

    for each in (module, image_build, image_ship):
        monkeypatch.setattr(each, "engine_client", client)
    for each in (module, image_ship):
        monkeypatch.setattr(each, "engine_state", state)
    monkeypatch.setattr(module, "registry_answers", one.answers)
    monkeypatch.setattr(module, "read_offered", one.reads)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    return one


def of(*services: str) -> list[str]:
    """Our images of some services, by tag."""
    return [OURS[service] for service in services]


ALL, SOME, NONE = list(OURS.values()), of("db", "sam2"), None


@pytest.mark.parametrize(
    ("way", "there", "here", "sent"),
    [
        ("auto", ALL, NONE, ""),
        ("auto", ALL, ALL, ""),
        ("auto", SOME, ALL, "label-studio"),
        ("auto", SOME, SOME, ""),
        ("auto", SOME, NONE, ""),
        ("auto", of("db"), of("sam2", "label-studio"), "sam2 label-studio"),
        ("auto", of("db", "sam2"), of("sam2", "label-studio"), "label-studio"),
        ("auto", [], of("sam2", "label-studio"), "sam2 label-studio"),
        ("auto", of("label-studio"), of("sam2"), "sam2"),
        ("auto", [], [], ""),
        ("auto", NONE, ALL, "db sam2 label-studio"),
        ("ship", ALL, ALL, "db sam2 label-studio"),
        ("ship", SOME, SOME, "db sam2 label-studio"),
        ("ship", NONE, [], "db sam2 label-studio"),
        ("host", ALL, ALL, ""),
        ("host", [], ALL, ""),
        ("host", SOME, NONE, ""),
    ],
)
def test_where_images_come_from(
    bench: Bench, way: Way, there: list[str] | None, here: list[str] | None, sent: str
) -> None:
    bench.there = Machine("gpu01", there, local=False)
    bench.here = Machine("this machine", here, local=True)
    origin = bench.settle(way)
    assert origin.sent == set(sent.split())
    assert origin.images.tags == OURS
    assert origin.images.base == OWN_BASE


@pytest.mark.parametrize(
    ("there", "here", "expected"),
    [
        (of("db"), of("sam2", "label-studio"), ["send sam2", "send label-studio"]),
        ([], of("sam2", "label-studio"), ["build db", "send sam2", "send label-studio"]),
        (of("label-studio"), of("sam2"), ["build db", "send sam2"]),
        (of("db", "sam2"), NONE, ["build label-studio"]),
    ],
)
def test_each_image_that_lacks_is_built_or_sent(
    bench: Bench, there: list[str], here: list[str] | None, expected: list[str]
) -> None:
    """One image that is missing on both machines is no reason to build the others on the server."""
    bench.there = Machine("gpu01", [*there, OWN_BASE.sam2], local=False)
    bench.here = Machine("this machine", here, local=True)
    bench.registry = True
    planned = [
        change.summary.removesuffix(" to the host")
        for one in shipped_images_role(bench.here, bench.there, bench.settle("auto"), quiet())
        for change in one.plan()
    ]
    assert planned == [f"{verb} {OURS[service]}" for verb, service in (one.split() for one in expected)]
    assert bench.asked == [], "what most images are built on is at hand"


@pytest.mark.parametrize("answers", [True, False])
def test_base_of_most_images_counts_if_it_can_be_had(bench: Bench, answers: bool) -> None:
    """Two of three are built on published images: the third is too, unless no registry answers."""
    bench.registry = answers
    bench.there = Machine("gpu01", [PUBLISHED["db"], PUBLISHED["sam2"]], local=False)
    assert bench.settle("auto").images.base == (OFFICIAL if answers else OWN_BASE)
    assert bench.asked == ["gpu01"]


@pytest.mark.parametrize(
    ("way", "here", "expected"),
    [
        ("ship", NONE, ALL),
        ("host", ALL, []),
        ("auto", SOME, SOME),
        ("auto", NONE, []),
    ],
)
def test_preflight_knows_what_is_built_on_the_host(
    bench: Bench, way: Way, here: list[str] | None, expected: list[str]
) -> None:
    bench.here = Machine("this machine", here, local=True)
    assert sendable_images(bench.here, THERE, way, [frozenset(ALL)]) == set(expected)
    if way == "auto":
        assert sendable_images(bench.here, "aarch64", way, [frozenset(ALL)]) == set()


def test_only_what_the_host_lacks_is_built_to_be_sent(bench: Bench) -> None:
    bench.here = Machine("this machine", [OWN_BASE.sam2], local=True)
    bench.there = Machine("gpu01", SOME, local=False)
    operations = shipped_images_role(bench.here, bench.there, bench.settle("ship"), quiet())
    planned = [change.summary for one in operations for change in one.plan()]
    assert planned == [f"build {OURS['label-studio']}", f"send {OURS['label-studio']} to the host"]


def test_up_builds_only_the_image_that_lacks(bench: Bench) -> None:
    """The same on this machine, whatever a registry says by now."""
    bench.registry = True
    bench.here = Machine("this machine", of("sam2"), local=True)
    images = plan_images(bench.here, REPOSITORY, Settings(), quiet(), services=("label-studio", "sam2"))
    assert images.missing(bench.here) == ["label-studio"]
    assert bench.asked == []


@pytest.mark.parametrize(("way", "here"), [("auto", NONE), ("auto", []), ("auto", SOME), ("host", ALL), ("host", NONE)])
def test_build_on_engine_that_is_down_is_unknown(bench: Bench, way: Way, here: list[str] | None) -> None:
    """What is built by an engine that does not run yet cannot be known."""
    bench.there = Machine("gpu01", None, local=False)
    bench.here = Machine("this machine", here, local=True)
    with pytest.raises(CannotKnow, match=r"^which images are built on the host is decided by what"):
        bench.settle(way)
    assert bench.asked == []


@pytest.mark.parametrize("there", [NONE, [], ALL])
def test_without_an_engine_here_nothing_can_be_sent(bench: Bench, there: list[str] | None) -> None:
    bench.there = Machine("gpu01", there, local=False)
    bench.here = Machine("this machine", None, local=True)
    with pytest.raises(HostError, match=r"^images are to be sent to gpu01 \(`images: ship`\), and no Docker"):
        bench.settle("ship")


def test_images_for_another_processor_are_not_sent(bench: Bench) -> None:
    """A laptop with an ARM processor has them all after `./inv up`, and no server could run them."""
    bench.here = Machine("this machine", [*PUBLISHED.values(), *ALL], local=True, processor="aarch64")
    assert bench.settle("auto").sent == set()
    with pytest.raises(HostError, match=r"another processor \(aarch64, there it is x86_64\); `images: host`"):
        bench.settle("ship")
    bench.there = Machine("gpu01", ALL, local=False)
    assert bench.settle("auto").images.missing(bench.there) == []


def test_images_built_on_published_ones_count_as_well(bench: Bench) -> None:
    bench.there = Machine("gpu01", PUBLISHED.values(), local=False)
    origin = bench.settle("auto")
    assert (origin.sent, origin.images.tags, origin.images.base) == (frozenset(), PUBLISHED, OFFICIAL)
    bench.there = Machine("gpu01", [], local=False)
    bench.here = Machine("this machine", PUBLISHED.values(), local=True)
    assert bench.settle("auto").images.tags == PUBLISHED
    assert bench.asked == []


@pytest.mark.parametrize("registry", [True, False])
def test_the_registry_is_asked_through_the_engine_that_builds(bench: Bench, registry: bool) -> None:
    bench.registry = registry
    base = OFFICIAL if registry else OWN_BASE
    assert bench.settle("host").images.base == base
    assert bench.settle("ship").images.base == base
    assert bench.asked == ["gpu01", "this machine"]


def test_what_is_built_on_follows_the_other_machine_s_processor(bench: Bench) -> None:
    bench.there = Machine("gpu01", [], local=False, processor="aarch64")
    assert bench.settle("auto").images.base == debootstrap_base(REPOSITORY, "aarch64", OFFERED)


def test_own_image_is_never_built_nor_missed(bench: Bench) -> None:
    """An image of the lab's own is never built and never missed."""
    own = {"sam2": "lab/sam2:2026-05"}
    ours = [tag for service, tag in OURS.items() if service != "sam2"]
    bench.there = Machine("gpu01", ours, local=False)
    origin = bench.settle("auto", own)
    assert origin.sent == set()
    assert origin.images.tags == {**OURS, **own}
    assert origin.images.own == {"sam2"}
    assert origin.images.missing(bench.there) == []


def roles(bench: Bench, origin: ImageOrigin) -> list[tuple[str, str]]:
    """Each operation with the machine that it works on."""
    found = []
    first, *others = shipped_images_role(bench.here, bench.there, origin, quiet())
    assert isinstance(first, WorkFoldersGone)
    for one in others:
        host: Any = vars(one)["_host"]
        found.append((type(one).__name__, host.name))
    return found


BUILT_HERE = [(BaseThere.__name__, "this machine"), (ImagesBuilt.__name__, "this machine")]
BUILT_THERE = [(BaseThere.__name__, "gpu01"), (ImagesBuilt.__name__, "gpu01")]
SENT = [(ImagesShipped.__name__, "gpu01")]


@pytest.mark.parametrize(("there", "expected"), [(ALL, SENT), (SOME, BUILT_HERE + SENT), (NONE, BUILT_HERE + SENT)])
def test_builds_here_what_the_host_lacks_before_sending(
    bench: Bench, there: list[str] | None, expected: list[tuple[str, str]]
) -> None:
    """What is sent is built here first where the host lacks it."""
    bench.here = Machine("this machine", ALL, local=True)
    bench.there = Machine("gpu01", there, local=False)
    origin = bench.settle("ship")
    assert roles(bench, origin) == expected
    *_, shipped = shipped_images_role(bench.here, bench.there, origin, quiet())
    lacking = [tag for tag in OURS.values() if tag not in (there or [])]
    assert [change.summary for change in shipped.plan()] == [f"send {tag} to the host" for tag in lacking]


def test_sends_own_image_but_not_what_is_built_there(bench: Bench) -> None:
    """What is built there is not sent, but the lab's own image is."""
    origin = bench.settle("host", {"sam2": "lab/sam2:1"})
    assert roles(bench, origin) == BUILT_THERE + SENT
    *_, shipped = shipped_images_role(bench.here, bench.there, origin, quiet())
    assert [change.summary for change in shipped.plan()] == ["send lab/sam2:1 to the host"]
    bench.there = Machine("gpu01", ["lab/sam2:1"], local=False)
    *_, shipped = shipped_images_role(bench.here, bench.there, origin, quiet())
    assert list(shipped.plan()) == []


def test_own_image_may_be_missing_where_all_else_is_there(bench: Bench) -> None:
    """Where everything is there, the lab's own image may still be missing."""
    ours = [tag for service, tag in OURS.items() if service != "sam2"]
    bench.there = Machine("gpu01", ours, local=False)
    bench.here = Machine("this machine", ["lab/sam2:1"], local=True)
    origin = bench.settle("auto", {"sam2": "lab/sam2:1"})
    assert roles(bench, origin) == BUILT_THERE + SENT
    *built, shipped = shipped_images_role(bench.here, bench.there, origin, quiet())
    assert [list(one.plan()) for one in built] == [[], [], []]
    assert [change.summary for change in shipped.plan()] == ["send lab/sam2:1 to the host"]


def built_before(offered: Offered, service: str = "") -> dict[str, str]:
    """Service -> image of this tree, built when the suites offered something else."""
    tags = image_tags(REPOSITORY, debootstrap_base(REPOSITORY, THERE, offered), SERVICES)
    return {one: tag for one, tag in tags.items() if one == service or not service}


EARLIER = Offered({**OFFERED.versions, "openssl": "3.0.20-1"}, checked=1.7e9)


def test_a_fix_builds_again_and_says_which_package(bench: Bench) -> None:
    bench.here = Machine("this machine", [OWN_BASE.sam2], local=True)
    before = built_before(EARLIER)
    packages = {"sha256:old": {PACKAGES_LABEL: "bash=5.2-2 openssl=3.0.20-1"}}
    bench.here.engine = Engine({"sha256:old": list(before.values()), "sha256:base": [OWN_BASE.sam2]}, labels=packages)
    images = plan_images(bench.here, REPOSITORY, Settings(), quiet(), services=("label-studio", "sam2"))
    assert images.tags == {service: OURS[service] for service in ("label-studio", "sam2")}
    assert images.base == OWN_BASE, "what was built on our own base stays on it"
    planned = [change.summary for change in ImagesBuilt(bench.here, images, quiet()).plan()]
    assert planned == [
        f"build {OURS['label-studio']} and {OURS['sam2']}, since packages moved: openssl 3.0.20-1 -> 3.0.22-1"
    ]


def test_a_fix_of_the_database_builds_its_image_alone(bench: Bench) -> None:
    before = built_before(Offered({**OFFERED.versions, "postgresql-15": "15.13-1"}))
    assert {service for service, tag in before.items() if tag != OURS[service]} == {"db"}
    assert recipe_of(before["db"]) == recipe_of(OURS["db"])


@pytest.mark.parametrize("why", ["keep", "no mirror"])
def test_images_there_are_kept(bench: Bench, why: str) -> None:
    """Where `image_updates` says so, or where nothing is known of what Debian offers: the newest that is there."""
    if why == "keep":
        bench.settings = Settings.model_validate({"LABELRIG_IMAGE_UPDATES": "keep"})
    else:
        bench.offered = Offered(problem="the mirror does not answer")
    oldest = built_before(Offered({"openssl": "3.0.19-1"}))
    before = built_before(EARLIER)
    bench.here = Machine("this machine", [*oldest.values(), *before.values()], local=True)
    images = plan_images(bench.here, REPOSITORY, bench.settings, quiet(), services=SERVICES)
    assert images.tags == before
    assert images.missing(bench.here) == []
    bench.there = Machine("gpu01", [before["db"]], local=False)
    origin = bench.settle("auto")
    assert origin.images.tags == before
    assert origin.sent == {"label-studio", "sam2"}
    (kept,) = {frozenset(map(recipe_of, before.values()))} & set(
        possible_images(bench.here, REPOSITORY, bench.settings, quiet(), SERVICES)
    )
    assert sendable_images(bench.here, THERE, "auto", [kept]) == kept


def test_a_kept_stack_that_lacks_an_image_builds_that_one(bench: Bench) -> None:
    bench.settings = Settings.model_validate({"LABELRIG_IMAGE_UPDATES": "keep"})
    before = built_before(EARLIER, "sam2")
    bench.here = Machine("this machine", [*before.values(), OWN_BASE.sam2], local=True)
    images = plan_images(bench.here, REPOSITORY, bench.settings, quiet(), services=("label-studio", "sam2"))
    assert images.tags == {"label-studio": OURS["label-studio"], **before}
    assert images.missing(bench.here) == ["label-studio"]


def test_known_updates_rename_what_an_unread_mirror_named(bench: Bench) -> None:
    """The names of a tree have one part for its files and one for its packages."""
    unread = built_before(Offered())
    assert {tag.rpartition("-")[2] for tag in unread.values()} == {"unknown"}
    assert {service: recipe_of(tag) for service, tag in unread.items()} == {
        service: recipe_of(tag) for service, tag in OURS.items()
    }
    bench.here = Machine("this machine", [*unread.values(), OWN_BASE.sam2], local=True)
    images = plan_images(bench.here, REPOSITORY, Settings(), quiet(), services=SERVICES)
    assert images.missing(bench.here) == list(SERVICES)
