"""What stands in a plan for what is decided when it is deployed."""

from __future__ import annotations

from core.repository import REPOSITORY
from infra.roles.images.build import ImageSet
from infra.roles.images.tags import debootstrap_base
from infra.stack.site import Site

UNDECIDED = "(decided when it is deployed)"


def undecided_images(site: Site) -> ImageSet:
    """Stands for the images of a plan, where what they are built on is not known yet."""
    tags = dict.fromkeys(site.image_services, UNDECIDED)
    return ImageSet(tags, debootstrap_base(REPOSITORY), REPOSITORY, site.settings.project)
