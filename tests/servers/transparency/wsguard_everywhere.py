"""A pytest plugin for other projects' suites: with `-p wsguard_everywhere` every app in them runs behind the guard."""

from __future__ import annotations

import functools
import importlib.util
import multiprocessing

import pytest

from asgi_wsguard import WebSocketGuardMiddleware

# How many there were so far, in shared memory: daphne's tests run their server in a process of its own.
websockets = multiprocessing.Value("Q", lock=False)


class Guarded(WebSocketGuardMiddleware):
    def __init__(self, app):
        super().__init__(app)
        self.websockets = websockets

    async def __call__(self, scope, receive, send):
        if scope["type"] == "websocket":
            self.websockets.value += 1
        await super().__call__(scope, receive, send)


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

    init, call = TestClient.__init__, Starlette.__call__

    @functools.wraps(init)
    def init_guarded(self, app, *args, **kwargs):
        init(self, Guarded(app), *args, **kwargs)

    @functools.wraps(call)
    async def call_guarded(self, scope, receive, send):
        # Some tests call an app without any client. A mounted app, which sees its parent's "app", is left alone.
        app = functools.partial(call, self)
        await (app if "app" in scope else Guarded(app))(scope, receive, send)

    TestClient.__init__ = init_guarded
    Starlette.__call__ = call_guarded


def wrap_daphne():
    from daphne.testing import BaseDaphneTestingInstance
    from hypothesis import Phase, settings

    # Each example starts a server: to shrink a failing one takes minutes.
    settings.register_profile("no shrinking", phases=[Phase.explicit, Phase.generate])
    settings.load_profile("no shrinking")
    init = BaseDaphneTestingInstance.__init__

    @functools.wraps(init)
    def init_guarded(self, *args, application, **kwargs):
        init(self, *args, application=Guarded(application), **kwargs)

    BaseDaphneTestingInstance.__init__ = init_guarded


def pytest_configure():
    for library, wrap in {"uvicorn": wrap_uvicorn, "starlette": wrap_starlette, "daphne": wrap_daphne}.items():
        if importlib.util.find_spec(library):
            wrap()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    before = websockets.value
    try:
        return (yield)
    finally:
        item.user_properties.append(("websockets", websockets.value - before))
