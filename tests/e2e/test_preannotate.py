"""Boxes to masks, and masks counted, on the containers. See `preannotate_cases`."""

from tests.e2e.preannotate_cases import *  # noqa: F403 - the cases are tests, collected here
