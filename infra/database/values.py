"""What `infra/compose/postgres.yaml` asks for, by the name in `stack.env`."""

from __future__ import annotations

import hashlib


def postgres_values(image: str, password: str) -> dict[str, str]:
    """Return the variables of the database server.

    Args:
        image: the tag of its image.
        password: of Label Studio's user. Letters, digits, - and _ only: it stands in a file that splits at colons.

    Raises:
        ValueError: the password holds something else; it is not shown.
    """
    if not password or not all(char.isascii() and (char.isalnum() or char in "-_") for char in password):
        raise ValueError("the database password may hold letters, digits, - and _ only")
    return {
        "LABELRIG_POSTGRES_IMAGE": image,
        "LABELRIG_POSTGRES_PASSWORD": password,
        # A label of the container: it changes with the password, and says nothing about one of 24 random characters.
        "LABELRIG_POSTGRES_PASSWORD_ID": hashlib.sha256(f"labelrig postgres {password}".encode()).hexdigest()[:16],
    }
