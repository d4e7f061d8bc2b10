import logging

from asgi_correlation_id import CorrelationIdFilter, CorrelationIdMiddleware
from fastapi import FastAPI

from asgi_wsguard import WebSocketGuardMiddleware

handler = logging.StreamHandler()
handler.addFilter(CorrelationIdFilter())
logging.basicConfig(
    format="%(levelname)s %(correlation_id)s %(message)s",
    handlers=[handler],
)

app = FastAPI()
app.add_middleware(WebSocketGuardMiddleware)
app.add_middleware(CorrelationIdMiddleware)  # last: it is outside the guard
