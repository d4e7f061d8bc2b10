import sentry_sdk
from fastapi import FastAPI

from asgi_wsguard import WebSocketGuardMiddleware

# uvicorn logs this as an error after each denial response, whoever sent it.
DENIED = "ASGI callable returned without completing handshake."


def before_send(event, hint):
    record = hint.get("log_record")
    if getattr(record, "ws_error_type", ""):
        # The app's exception is its own event, with this line as a breadcrumb.
        return None
    if record is not None and record.getMessage() == DENIED:
        return None
    return event


sentry_sdk.init(before_send=before_send)  # the DSN is in SENTRY_DSN

app = FastAPI()
app.add_middleware(WebSocketGuardMiddleware)
