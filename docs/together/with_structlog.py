import logging
import uuid

import structlog
from fastapi import FastAPI

from asgi_wsguard import WebSocketGuardMiddleware

shared = [structlog.contextvars.merge_contextvars, structlog.stdlib.add_log_level, structlog.stdlib.ExtraAdder()]
rendered = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, structlog.processors.JSONRenderer()]
handler = logging.StreamHandler()
handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=rendered))
logging.basicConfig(handlers=[handler])


class BindRequest:
    """Give each line of a connection the same id."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        with structlog.contextvars.bound_contextvars(request_id=uuid.uuid4().hex):
            await self.app(scope, receive, send)


app = FastAPI()
app.add_middleware(WebSocketGuardMiddleware)
app.add_middleware(BindRequest)  # added last, so it is outside the guard
