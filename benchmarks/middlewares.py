"""The middlewares to compare. Each function puts one around an app, as its users would."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Callable

if TYPE_CHECKING:
    from asgiref.typing import ASGI3Application as App

# The imports are inside the functions, so that a server with one of these does not import the others.


def none(app: App) -> App:
    return app


def pair(app: App) -> App:
    """The smallest middleware that wraps both directions."""

    async def middleware(scope, receive, send):
        async def wrapped_receive():
            return await receive()

        async def wrapped_send(message):
            await send(message)

        await app(scope, wrapped_receive, wrapped_send)

    return middleware


def guard(app: App) -> App:
    from asgi_wsguard import WebSocketGuardMiddleware

    return WebSocketGuardMiddleware(app)


def deadlines(app: App) -> App:
    """The guard with every limit on."""
    from asgi_wsguard import WebSocketGuardMiddleware

    return WebSocketGuardMiddleware(
        app, idle_timeout=600, max_lifetime=3600, send_timeout=30, max_connections=1_000_000
    )


def asgion(app: App) -> App:
    import asgion

    return asgion.inspect(app)


def opentelemetry(app: App) -> App:
    """It records, but exports nothing."""
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
    from opentelemetry.sdk.trace import TracerProvider

    return OpenTelemetryMiddleware(app, tracer_provider=TracerProvider(shutdown_on_exit=False))


def sentry(app: App) -> App:
    """It traces, but has no address to report to."""
    import sentry_sdk
    from sentry_sdk.integrations.asgi import SentryAsgiMiddleware

    sentry_sdk.init(dsn="", traces_sample_rate=1.0, default_integrations=False, auto_enabling_integrations=False)
    return SentryAsgiMiddleware(app)


OURS = {"none": none, "pair": pair, "guard": guard, "deadlines": deadlines}
GUARDS = ("guard", "deadlines")
OTHERS = {
    "asgion": ("asgion", asgion),
    "OpenTelemetry": ("opentelemetry.instrumentation.asgi", opentelemetry),
    "Sentry": ("sentry_sdk", sentry),
}


def installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of a parent package
        return False


# Whether all packages for the benchmarks on uvicorn are installed.
SERVED = all(map(installed, ("uvicorn", "uvloop", "websockets")))
MIDDLEWARES: dict[str, Callable[[App], App]] = {
    **OURS,
    **{name: middleware for name, (module, middleware) in OTHERS.items() if installed(module)},
}
# The groups are timed one after the other: the interpreter specializes the guard's code for one set of options, as on a
# server, and what other middlewares leave behind would slow down the next one.
GROUPS = (("none", "pair", "guard"), ("deadlines",), tuple(name for name in OTHERS if name in MIDDLEWARES))
MISSING = [name for name in OTHERS if name not in MIDDLEWARES]
