"""The fixtures that are themselves under test here."""

from tests.labhost.fixtures import (  # noqa: F401
    lab_host,
    lab_host_image,
    lab_pictures,
    lab_scenes,
    lab_settings,
    make_lab_host,
)
