"""Labels that go, drift and pull on the containers. See `label_cases`."""

from tests.e2e.label_cases import *  # noqa: F403 - the cases are tests, collected here
