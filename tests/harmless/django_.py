"""Django as the Channels apps need it: a channel layer in memory, and a database."""

from __future__ import annotations

import os

import django
from django.conf import settings

from asgi_wsguard.compare.journal import JOURNAL


def setup() -> None:
    """Configure it, once."""
    if not settings.configured:
        database = f"{os.environ[JOURNAL]}.sqlite3" if JOURNAL in os.environ else ":memory:"
        settings.configure(
            CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
            DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": database}},
            INSTALLED_APPS=["channels", "django.contrib.contenttypes", "django.contrib.auth"],
        )
        django.setup()
