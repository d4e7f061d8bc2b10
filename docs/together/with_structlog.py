import logging
import uuid

import structlog
from fastapi import FastAPI

from asgi_wsguard import WebSocketGuardMiddleware

formatter = structlog.stdlib.ProcessorFormatter(
    foreign_pre_chain=[
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
    ],
    processors=[
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.JSONRenderer(),
    ],
)
handler = logging.StreamHandler()
handler.setFormatter(formatter)
logging.basicConfig(handlers=[handler])


class BindRequest:
    """Give each line of a connection the same id."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        request_id = uuid.uuid4().hex
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            await self.app(scope, receive, send)


app = FastAPI()
app.add_middleware(WebSocketGuardMiddleware)
app.add_middleware(BindRequest)  # added last, so it is outside the guard
