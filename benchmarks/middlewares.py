"""What is compared: each function puts one middleware around an app, as its users would."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Callable

if TYPE_CHECKING:
    from asgiref.typing import ASGI3Application as App

# Imports are inside, so that a server that uses one of these does not carry the others.


def none(app: App) -> App:
    return app


def pair(app: App) -> App:
    """The least that can stand in both directions."""

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
    """Recording, but exporting to nowhere."""
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
    from opentelemetry.sdk.trace import TracerProvider

    return OpenTelemetryMiddleware(app, tracer_provider=TracerProvider(shutdown_on_exit=False))


def sentry(app: App) -> App:
    """Tracing, but with no address to report to."""
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


# Whether there is all that the uvicorn of the benchmarks needs.
SERVED = all(map(installed, ("uvicorn", "uvloop", "websockets")))
MIDDLEWARES: dict[str, Callable[[App], App]] = {
    **OURS,
    **{name: middleware for name, (module, middleware) in OTHERS.items() if installed(module)},
}
# Timed one group after the other: the interpreter tunes the guard's code to one set of options, as a server has it, and
# what the others leave behind costs whoever comes next.
GROUPS = (("none", "pair", "guard"), ("deadlines",), tuple(name for name in OTHERS if name in MIDDLEWARES))
MISSING = [name for name in OTHERS if name not in MIDDLEWARES]
