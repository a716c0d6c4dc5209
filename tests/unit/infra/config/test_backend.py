"""The backend's settings as `.env` and the inventory know them are those that the backend has."""

from __future__ import annotations

from types import NoneType
from typing import Literal, get_args, get_origin

import pytest
from annotated_types import Ge, Gt, Le
from pydantic.fields import FieldInfo

from backend.settings import Settings as BackendSettings
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
