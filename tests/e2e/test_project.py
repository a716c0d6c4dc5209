"""The project stage on the containers: stays still when all is well, heals what is not. See `project_cases`."""

from tests.e2e.project_cases import *  # noqa: F403 - the cases are tests, collected here
