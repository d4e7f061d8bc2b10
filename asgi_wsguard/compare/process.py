"""The module that a server's process imports."""

from __future__ import annotations

from asgi_wsguard.compare.compared import compared

app = compared()
