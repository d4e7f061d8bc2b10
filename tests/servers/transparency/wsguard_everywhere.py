"""A pytest plugin for other projects' suites: where `GUARDED` is set, every app in them runs behind the guard.

The tests that the file `LEAVE_OUT` names are not run.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
from multiprocessing.context import SpawnProcess
from pathlib import Path

import pytest
from wsguard_granian import serve_granian
from wsguard_guarded import Guarded, websockets


def guard_argument(cls):
    """Guard the app that is the first argument of the class."""
    init = cls.__init__

    @functools.wraps(init)
    def init_guarded(self, app, *args, **kwargs):
        init(self, Guarded(app), *args, **kwargs)

    cls.__init__ = init_guarded


def guard_calls(cls):
    """Guard an app's class, for tests that look into the app, or call it without a client."""
    call = cls.__call__

    @functools.wraps(call)
    async def call_guarded(self, scope, receive, send):
        await Guarded(functools.partial(call, self))(scope, receive, send)

    cls.__call__ = call_guarded


def wrap_uvicorn():
    from uvicorn import Config

    load_app = Config.load_app

    @functools.wraps(load_app)
    def load_guarded(config):
        app = load_app(config)
        return app if config.factory or config.interface == "wsgi" else Guarded(app)

    Config.load_app = load_guarded


def wrap_starlette():
    from starlette.applications import Starlette
    from starlette.testclient import TestClient

    call = Starlette.__call__

    @functools.wraps(call)
    async def call_guarded(self, scope, receive, send):
        # Some tests call an app without any client. A mounted app, which sees its parent's "app", is left alone.
        app = functools.partial(call, self)
        await (app if "app" in scope else Guarded(app))(scope, receive, send)

    guard_argument(TestClient)
    Starlette.__call__ = call_guarded


def wrap_daphne():
    from daphne.testing import BaseDaphneTestingInstance

    init = BaseDaphneTestingInstance.__init__

    @functools.wraps(init)
    def init_guarded(self, *args, application, **kwargs):
        init(self, *args, application=Guarded(application), **kwargs)

    BaseDaphneTestingInstance.__init__ = init_guarded


def wrap_hypercorn(library="hypercorn"):
    guard_argument(importlib.import_module(f"{library}.app_wrappers").ASGIWrapper)
    guard_calls(importlib.import_module(f"{library}.middleware").HTTPToHTTPSRedirectMiddleware)


def wrap_anycorn():
    wrap_hypercorn("anycorn")


def wrap_gunicorn():
    from gunicorn.asgi.websocket import WebSocketProtocol

    run = WebSocketProtocol.run

    @functools.wraps(run)
    async def run_guarded(self):
        self.app = Guarded(self.app)
        await run(self)

    WebSocketProtocol.run = run_guarded


def wrap_granian():
    init = SpawnProcess.__init__

    @functools.wraps(init)
    def init_guarded(self, *args, target, **kwargs):
        init(self, *args, target=functools.partial(serve_granian, target), **kwargs)

    SpawnProcess.__init__ = init_guarded


def wrap_falcon():
    from falcon.asgi import App

    guard_calls(App)


def wrap_httpx_ws():
    from httpx_ws.transport import ASGIWebSocketAsyncNetworkStream

    guard_argument(ASGIWebSocketAsyncNetworkStream)


def wrap_litestar():
    from litestar import Litestar

    guard_calls(Litestar)


WRAPPERS = {
    "anycorn": wrap_anycorn,
    "daphne": wrap_daphne,
    "falcon": wrap_falcon,
    "granian": wrap_granian,
    "gunicorn": wrap_gunicorn,
    "httpx_ws": wrap_httpx_ws,
    "hypercorn": wrap_hypercorn,
    "litestar": wrap_litestar,
    "starlette": wrap_starlette,
    "uvicorn": wrap_uvicorn,
}


def prepare_daphne():
    from daphne.testing import BaseDaphneTestingInstance
    from hypothesis import Phase, settings

    # Each example starts a server: to shrink a failing one takes minutes.
    settings.register_profile("no shrinking", phases=[Phase.explicit, Phase.generate])
    settings.load_profile("no shrinking")
    # The few seconds that its tests give an example are too short for a busy machine.
    init = settings.__init__
    settings.__init__ = lambda self, *args, **kwargs: init(self, *args, **{**kwargs, "deadline": None})
    # A server that takes longer, which on a busy machine may be, is left running, and makes it busier.
    BaseDaphneTestingInstance.startup_timeout = 30


def pytest_configure():
    if importlib.util.find_spec("daphne"):
        prepare_daphne()
    for library, wrap in WRAPPERS.items():
        if os.environ["GUARDED"] and importlib.util.find_spec(library):
            wrap()


def pytest_collection_modifyitems(config, items):
    left_out = set(Path(os.environ["LEAVE_OUT"]).read_text("utf-8").splitlines())
    config.hook.pytest_deselected(items=[item for item in items if repr(item.nodeid) in left_out])
    items[:] = [item for item in items if repr(item.nodeid) not in left_out]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    before = websockets[0]
    try:
        return (yield)
    finally:
        item.user_properties += [("websockets", websockets[0] - before), ("id", repr(item.nodeid))]
