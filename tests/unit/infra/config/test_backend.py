"""The backend's settings as `.env` and the inventory know them are those that the backend has."""

from __future__ import annotations

from pathlib import Path
from types import NoneType
from typing import Literal, get_args, get_origin

import pytest
from annotated_types import Ge, Gt, Le
from pydantic.fields import FieldInfo

from backend.settings import Settings as BackendSettings
from backend.sources.addresses import parse_hosts
from infra.config.backend import BACKEND_SETTINGS
from infra.config.stack_settings import one_of

SETTINGS = dict(BACKEND_SETTINGS)


def kind_of(field: FieldInfo) -> str:
    """The kind of one of the backend's settings in words."""
    kinds = [kind for kind in get_args(field.annotation) if kind is not NoneType]
    annotation = field.annotation if get_origin(field.annotation) is Literal or not kinds else kinds[0]
    if get_origin(annotation) is Literal:
        return one_of(annotation)
    if annotation is bool:
        return "true or false"
    if annotation is str:
        return "http or https address" if "http" in str(field.metadata) else "text"
    word = {int: "whole number", float: "number"}[annotation]  # type: ignore[index]
    least = next((one.ge for one in field.metadata if isinstance(one, Ge)), None)
    above = next((one.gt for one in field.metadata if isinstance(one, Gt)), None)
    most = next((one.le for one in field.metadata if isinstance(one, Le)), None)
    if above is not None:
        return f"{word} above {above}, up to {most}"
    return f"{word}, {least} or more" if most is None else f"{word}, {least} to {most}"


@pytest.mark.parametrize("name", SETTINGS)
def test_setting_is_the_backends_own(name: str) -> None:
    field = BackendSettings.model_fields[name.lower()]
    written = str(field.default).lower() if isinstance(field.default, bool) else str(field.default)
    assert SETTINGS[name].default == ("" if field.default is None else written)
    assert SETTINGS[name].kind == kind_of(field)
    assert SETTINGS[name].text == field.description


WORDS = "auto cuda cpu torch openvino abacus AUTO clicked all positive DEBUG debug true False on maybe"
NUMBERS = "0 1 -1 1.5 0.05 64 65 90 91 99 99.5 100 101 1001 3600 3601 178956970 178956971 1e3 1_000 nan inf 5x"
ADDRESSES = ("http://x", "https://x/y", "ftp://x", "a.lab:8080, b.lab", "a:0", "[fd00::1]:80", "a b")
SAMPLES = (*WORDS.split(), *NUMBERS.split(), " 5 ", *ADDRESSES)


@pytest.mark.parametrize("name", SETTINGS)
def test_values_are_taken_as_the_backend_takes_them(name: str, tmp_path: Path) -> None:
    def taken(value: str) -> bool:
        try:
            BackendSettings.model_validate({name.lower(): value, "local_files_document_root": tmp_path})
            parse_hosts(value if name == "IMAGE_HOSTS_ALLOWED" else "")
        except ValueError:  # pydantic's is one too
            return False
        return True

    assert {value for value in SAMPLES if SETTINGS[name].accepts(value)} == {value for value in SAMPLES if taken(value)}
    assert SETTINGS[name].accepts("")
    assert SETTINGS[name].accepts(SETTINGS[name].default)
    assert not SETTINGS[name].accepts("two\nlines")
