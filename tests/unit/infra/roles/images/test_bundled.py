"""Images out of a bundle: to an engine, and only those of this tree."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from core.errors import HostError, SettingsError
from core.operation import converge
from core.report import Report
from core.repository import REPOSITORY
from infra.bundle.manifest import BundledImage
from infra.bundle.reading import Bundle
from infra.config.settings import Settings
from infra.roles.docker.client import EngineState
from infra.roles.images import ship as image_ship
from infra.roles.images.bundled import (
    BundleImages,
    bundled_images,
    bundled_tags,
    refuse_other_version,
    usable_bundle,
)
from infra.roles.images.packages import recipe_of
from infra.roles.images.ship import ImagesShipped
from tests.fakes import FakeHost
from tests.unit.infra.bundle.making import PARTS, made, make, our_tags
from tests.unit.infra.roles.images.image_archives import FORMS, TAG, A, B, C, digest_of, entries_of
from tests.unit.infra.roles.images.loading import FakeEngine, FakeImage, LoadingHost

FILE = "images/sam2-1.tar"


def with_image(folder: Path, form: str = "before-25") -> Bundle:
    """A bundle whose one image has the layers A, B and A."""
    parts = {**PARTS, FILE: FORMS[form]([A, B, A])}
    return made(folder, parts, images={"sam2": BundledImage(tag=TAG, file=FILE)})


def quiet() -> Report:
    return Report(io.StringIO())


def shipped(
    bundle: Bundle, host: LoadingHost, monkeypatch: pytest.MonkeyPatch, loaded_layers: tuple[bytes, ...] = (A, B, A)
) -> ImagesShipped:
    """The operation; the engine says of what it loaded that it has these layers."""
    monkeypatch.setattr(image_ship, "engine_client", lambda _host, timeout=0: host.engine)
    monkeypatch.setattr(image_ship, "engine_state", lambda _host: EngineState.ANSWERS)
    load = host.run

    def run(*argv: str, **how: object) -> object:
        result = load(*argv, **how)  # type: ignore[arg-type]
        host.engine.there[TAG] = FakeImage("sha256:another-store", b"", [digest_of(one) for one in loaded_layers])
        return result

    monkeypatch.setattr(host, "run", run)
    here = FakeHost()  # is asked nothing
    return ImagesShipped(here, host, [TAG], quiet(), BundleImages(bundle))


@pytest.mark.parametrize("form", FORMS)
def test_loads_from_the_file_what_the_engine_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    bundle = with_image(tmp_path, form)
    engine = FakeEngine({"other:1": FakeImage("sha256:other", b"", [digest_of(C), digest_of(A)])})
    host = LoadingHost(engine)
    converge([shipped(bundle, host, monkeypatch)], quiet())
    assert entries_of(host.received[0]) == entries_of(FORMS[form]([A, B, A]))
    assert shipped(bundle, host, monkeypatch).plan() == []


def test_layers_that_are_there_stay_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = LoadingHost(FakeEngine({"other:1": FakeImage("sha256:other", b"", [digest_of(A)])}))
    converge([shipped(with_image(tmp_path, "since-25"), host, monkeypatch)], quiet())
    assert B in entries_of(host.received[0]).values()


def test_other_layers_than_in_the_file_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = LoadingHost(FakeEngine())
    (change,) = shipped(with_image(tmp_path), host, monkeypatch, (A, B)).plan()
    with pytest.raises(HostError, match=rf"^lab: {TAG} arrived with other layers than the bundle has; repeat"):
        change.apply()


@pytest.mark.parametrize("form", FORMS)
def test_one_of_this_tree_is_taken(tmp_path: Path, form: str) -> None:
    report = quiet()
    parts = {**PARTS, FILE: FORMS[form]([A], sorted(our_tags().values()))}
    bundle = usable_bundle(make(tmp_path, parts), REPOSITORY, report)
    assert bundle.manifest.images["sam2"].tag == our_tags()["sam2"]
    assert report.stages[0].ok == [f"{bundle.path} verified"]


def test_other_packages_in_an_image_are_no_other_tree(tmp_path: Path) -> None:
    """Debian's fixes are in the last part of a name; the bundle keeps what it was made with."""
    images = {name: BundledImage(tag=f"{recipe_of(tag)}-0a1b2c3d", file=FILE) for name, tag in our_tags().items()}
    refuse_other_version(made(tmp_path, images=images), REPOSITORY)


def test_one_of_another_tree_is_refused(tmp_path: Path) -> None:
    images = {name: BundledImage(tag=tag, file=FILE) for name, tag in our_tags().items()}
    images["proxy"] = BundledImage(tag="labelrig/proxy:2.6-0123456789ab-0a1b2c3d", file=FILE)
    images["music"] = BundledImage(tag="labelrig/music:1-0123456789ab-0a1b2c3d", file=FILE)
    other = made(tmp_path, images=images, dirty=True)
    with pytest.raises(SettingsError, match=r"commit aaaaaaa, with changes: its images proxy, music are not those of"):
        refuse_other_version(other, REPOSITORY)
    with pytest.raises(SettingsError, match=r"was made with labelrig 0\.0\.7, and this is "):
        refuse_other_version(made(tmp_path, labelrig="0.0.7"), REPOSITORY)


def test_an_image_under_another_tag_is_refused(tmp_path: Path) -> None:
    """As when the version changed between two runs of `bundle.create`: the same image, and the tag of before."""
    parts = {**PARTS, FILE: FORMS["since-25"]([A], ["labelrig/label-studio:before"])}
    with pytest.raises(SettingsError, match=r"images/sam2-1.tar holds labelrig/label-studio:before, and its manifest"):
        usable_bundle(make(tmp_path, parts), REPOSITORY, quiet())
    with pytest.raises(SettingsError, match=r"images/sam2-1.tar holds no image, and its manifest says labelrig/"):
        usable_bundle(make(tmp_path, {**PARTS, FILE: b"no archive"}), REPOSITORY, quiet())


def test_a_damaged_one_is_refused(tmp_path: Path) -> None:
    path = make(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"weightsweights", b"weightsWeights", 1))
    with pytest.raises(SettingsError, match=r"is damaged: models/tiny.pt is not"):
        usable_bundle(path, REPOSITORY, quiet())


def test_a_labs_own_image_does_not_come_from_it(tmp_path: Path) -> None:
    bundle = made(tmp_path)
    services = ("db", "label-studio", "sam2", "proxy")
    origin = bundled_images(bundle, REPOSITORY, Settings(), services, {"sam2": "lab/sam2:7"})
    assert origin.images.tags == {**{one: our_tags()[one] for one in services}, "sam2": "lab/sam2:7"}
    assert origin.sent == {"db", "label-studio", "proxy"}
    assert bundled_tags(bundle, ("db", "sam2")) == {our_tags()["db"], our_tags()["sam2"]}
