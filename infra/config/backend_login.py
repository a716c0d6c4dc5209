"""With what Label Studio opens the SAM2 backend, as the settings have it."""

from __future__ import annotations

import hmac

from pydantic import SecretStr

from core.errors import SettingsError
from infra.config.settings import Settings
from labelstudio.models import BasicAuth


def password_id(password: SecretStr, key: SecretStr) -> str:
    """Stands for a password where it must not stand itself: another password has another id."""
    return hmac.new(key.get_secret_value().encode(), password.get_secret_value().encode(), "sha256").hexdigest()[:16]


def backend_login(settings: Settings) -> BasicAuth:
    """The login of the backend; the user's name tells which password it is, see `BasicAuth`.

    Raises:
        SettingsError: the secrets were not made yet.
    """
    if settings.backend_password is None or settings.secret_key is None:
        raise SettingsError("no LABELRIG_BACKEND_PASSWORD is known; `./inv up` (on a server `./inv deploy`) makes it")
    user = f"labelrig-{password_id(settings.backend_password, settings.secret_key)}"
    return BasicAuth(user, settings.backend_password.get_secret_value())
