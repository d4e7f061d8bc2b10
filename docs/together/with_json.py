import logging

from fastapi import FastAPI
from pythonjsonlogger.json import JsonFormatter

from asgi_wsguard import WebSocketGuardMiddleware

handler = logging.StreamHandler()
handler.setFormatter(JsonFormatter("%(levelname)s %(name)s %(message)s"))
logging.basicConfig(handlers=[handler])

app = FastAPI()
app.add_middleware(WebSocketGuardMiddleware)
