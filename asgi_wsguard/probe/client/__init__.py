"""A websocket client that is as strict as a browser, over HTTP/1.1, 2 and 3, with a deadline for everything."""

from __future__ import annotations

from asgi_wsguard.probe.client.observation import Observation
from asgi_wsguard.probe.client.visit import staying, visit
from asgi_wsguard.probe.client.wire import TLS

__all__ = ["TLS", "Observation", "staying", "visit"]
