import logging

from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.instrumentation.logging import LoggingInstrumentor
from opentelemetry.sdk.trace import TracerProvider

from asgi_wsguard import WebSocketGuardMiddleware

trace.set_tracer_provider(TracerProvider())  # with an exporter of yours
logging.basicConfig(format="%(levelname)s trace=%(otelTraceID)s %(message)s")
LoggingInstrumentor().instrument(inject_trace_context=True)

app = FastAPI()
app.add_middleware(WebSocketGuardMiddleware)
app.add_middleware(OpenTelemetryMiddleware)  # last: it is outside the guard
