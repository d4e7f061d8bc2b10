"""The module that a server's process imports."""

from __future__ import annotations

from asgi_wsguard.check.observer import observer

app = observer()
