"""The tests of uvicorn's issue 920, made for this project. They run in one process with the uvicorn of those days.

`python uvicorn_920_report.py bare|guarded <app> <implementation> <times>` makes an event loop so many times. In each,
ten servers run at once, each answers one client, and is stopped. It prints, as JSON, what came of each loop: the
statuses that the clients got, and everything that was left behind.
"""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import sys
from typing import Any

import uvicorn
import websockets

from asgi_wsguard import WebSocketGuardMiddleware


async def missing_handshake(scope: Any, receive: Any, send: Any) -> None:
    pass


async def send_before_handshake(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "websocket.send", "text": "123"})


async def raise_before_handshake(scope: Any, receive: Any, send: Any) -> None:
    raise RuntimeError("before the handshake")


async def visit(app: Any, implementation: str) -> int:
    """Serve the app to one client, and stop the server; return the status that the client got."""
    config = uvicorn.Config(app, ws=implementation, loop="asyncio", lifespan="off", log_level="critical")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.ensure_future(server.serve(sockets=[listener]))
        try:
            await websockets.connect(f"ws://127.0.0.1:{listener.getsockname()[1]}")
        except websockets.exceptions.InvalidStatusCode as refusal:
            return refusal.status_code  # type: ignore[no-any-return]
        else:
            raise AssertionError("the client was let in")
        finally:
            server.should_exit = True
            await serving


async def visits(app: Any, implementation: str) -> list[int]:
    servers = asyncio.gather(*(visit(app, implementation) for _ in range(10)))
    return await asyncio.wait_for(servers, 30)


def report(app: Any, implementation: str) -> dict[str, Any]:
    left: list[str] = []
    sys.unraisablehook = lambda unraisable: left.append(repr(unraisable.exc_value))
    loop = asyncio.new_event_loop()
    # Here asyncio tells of a pending task that was destroyed, and of an exception that nobody took.
    loop.set_exception_handler(lambda _, context: left.append(f"{context['message']} {context.get('task', '')}"))
    asyncio.set_event_loop(loop)
    statuses = loop.run_until_complete(visits(app, implementation))
    gc.collect()
    left.extend(f"pending: {task}" for task in asyncio.all_tasks(loop))
    loop.close()
    return {"statuses": statuses, "left": left}


if __name__ == "__main__":
    guard, name, implementation, times = sys.argv[1:]
    app = globals()[name]
    if guard == "guarded":
        app = WebSocketGuardMiddleware(app)
    print(json.dumps([report(app, implementation) for _ in range(int(times))]))
