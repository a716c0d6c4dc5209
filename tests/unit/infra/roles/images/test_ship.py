"""What of an image's archive may stay at home, in the forms before Docker 25 and after it."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import HostError
from infra.roles.images.archive import chain_ids, copy_without, files_not_needed
from tests.unit.infra.roles.images.image_archives import (
    FORMS,
    TAG,
    A,
    B,
    C,
    chains_of,
    config_of,
    entries_of,
    filtered,
    load,
    opened,
    saved_before_25,
    saved_since_25,
)


@pytest.fixture(params=FORMS)
def save(request: pytest.FixtureRequest) -> Callable[[Sequence[bytes]], bytes]:
    return FORMS[request.param]


def test_chain_ids_are_those_of_the_engine() -> None:
    """The chain ids are those that an engine names its layers by."""
    # Of an image in an engine 20.10.24, whose layer store has a folder named after each chain id.
    diff_ids = [
        "sha256:6befa7c95e0420a9bd36d53d162e4bc6974e74ad021d9b9c7a64904d2256dcc7",
        "sha256:6606dd3015b860ac3d11a670587afc52ff798062e18b8f18f52a4980ad31d408",
        "sha256:6befa7c95e0420a9bd36d53d162e4bc6974e74ad021d9b9c7a64904d2256dcc7",
    ]
    assert chain_ids(diff_ids) == (
        "sha256:6befa7c95e0420a9bd36d53d162e4bc6974e74ad021d9b9c7a64904d2256dcc7",
        "sha256:cebf3a7a430c478fc4f34395463435388c29c044f8b99f43c035d31f0255968a",
        "sha256:22d654d580da44c1d4fa9b4b51ee5be3a08ff8f8bb77f5da5d24fa5ffd292683",
    )
    assert chain_ids([]) == ()


def test_an_archive_says_its_layers_lowest_first(save: Callable[[Sequence[bytes]], bytes]) -> None:
    content = save([B, A, B])
    archive = opened(content)
    assert archive.chains == chains_of(B, A, B)
    assert archive.size == len(content)
    files = entries_of(content)
    assert files[archive.layers[0]] == B
    assert files[archive.layers[1]] == A
    assert archive.file.tell() == 0


def test_leaves_out_only_what_the_other_engine_has(save: Callable[[Sequence[bytes]], bytes]) -> None:
    """What the other engine has stays at home and nothing else."""
    content = save([A, B, C])
    archive = opened(content)
    left_out = files_not_needed(archive, frozenset(chains_of(A, B)))
    assert left_out == set(archive.layers[:2])
    sent = entries_of(filtered(archive, left_out))
    assert sent == {name: data for name, data in entries_of(content).items() if name not in left_out}
    assert load(filtered(archive, left_out), chains_of(A, B)) == chains_of(A, B, C)


def test_the_same_layer_on_another_one_is_another_chain(save: Callable[[Sequence[bytes]], bytes]) -> None:
    """The engine has the content of the layer, and not where this image has it: it wants the file."""
    archive = opened(save([A, B]))
    assert files_not_needed(archive, frozenset(chains_of(B))) == frozenset()


def test_sends_files_that_a_needed_layer_links_to() -> None:
    """A file that a needed layer links to travels, though the engine has its layer."""
    archive = opened(saved_before_25([A, B, A]))
    known = frozenset(chains_of(A, B))
    left_out = files_not_needed(archive, known)
    assert left_out == {archive.layers[1]}
    assert load(filtered(archive, left_out), known) == archive.chains


def test_sends_a_shared_file_when_one_layer_is_needed() -> None:
    """A file that two layers share travels when one of them is needed."""
    archive = opened(saved_since_25([A, B, A]))
    known = frozenset(chains_of(A, B))
    left_out = files_not_needed(archive, known)
    assert left_out == {archive.layers[1]}
    assert load(filtered(archive, left_out), known) == archive.chains


def test_hard_links_are_followed_too() -> None:
    layers, config = [A, B, A], config_of([A, B, A])
    names = ["0/layer.tar", "1/layer.tar", "2/layer.tar"]
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        manifest = json.dumps([{"Config": "c.json", "RepoTags": [TAG], "Layers": names}]).encode()
        for name, content in (("c.json", config), ("manifest.json", manifest), *zip(names[:2], layers, strict=False)):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        link = tarfile.TarInfo(names[2])
        link.type, link.linkname = tarfile.LNKTYPE, names[0]
        tar.addfile(link)
    assert files_not_needed(opened(file.getvalue()), frozenset(chains_of(A, B))) == {names[1]}


@given(
    form=st.sampled_from(sorted(FORMS)),
    layers=st.lists(st.sampled_from([A, B, C]), min_size=1, max_size=7),
    data=st.data(),
)
def test_nothing_needed_is_left_out_and_what_is_sent_is_needed(
    form: str, layers: list[bytes], data: st.DataObject
) -> None:
    content = FORMS[form](layers)
    archive = opened(content)
    known = frozenset(data.draw(st.sets(st.sampled_from(archive.chains))))
    left_out = files_not_needed(archive, known)
    assert left_out <= set(archive.layers)
    assert load(filtered(archive, left_out), known) == chains_of(*layers)
    for name in set(archive.layers) - left_out:
        with pytest.raises(FileNotFoundError):
            load(filtered(archive, left_out | {name}), known)


def test_a_copy_without_anything_left_out_is_the_whole_archive(save: Callable[[Sequence[bytes]], bytes]) -> None:
    content = save([A, B, A])
    archive = opened(content)
    told: list[int] = []
    into = io.BytesIO()
    copy_without(archive, frozenset(), into, told.append)
    assert entries_of(into.getvalue()) == entries_of(content)
    assert told == sorted(told)
    assert told[-1] == sum(len(data) for data in entries_of(content).values() if isinstance(data, bytes))


def test_an_archive_of_a_docker_that_is_not_known_is_an_error() -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        folder = tarfile.TarInfo("manifest.json")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
    with pytest.raises(HostError, match=r"`docker save` wrote no manifest\.json: this version of Docker is not known"):
        opened(file.getvalue())
