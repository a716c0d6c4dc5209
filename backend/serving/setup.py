"""`/setup`: what Label Studio tells a backend of a project at every page load."""

from __future__ import annotations

from backend.labelstudio.labeling_check import check
from backend.labelstudio.labeling_config import parse_cached
from backend.labelstudio.options import ProjectOptions, ProjectOptionsRegistry, read_options
from backend.labelstudio.protocol import SetupRequest


def set_up(options: ProjectOptionsRegistry, defaults: ProjectOptions, body: SetupRequest) -> None:
    """Check a project's labeling configuration, and remember its options.

    Raises:
        LabelingConfigError: clicks cannot be answered with this configuration, or these options.
    """
    check(parse_cached(body.labeling_config), read_options(body.extra_params, defaults).output)
    options.remember(body.project, body.extra_params)
