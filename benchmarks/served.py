"""The app that uvicorn serves: an echo behind the middleware that the path names. Over HTTP it returns its usage."""

from __future__ import annotations

import json
import os
import time
from functools import cache
from pathlib import Path

from benchmarks.middlewares import MIDDLEWARES


async def echo(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


async def usage(scope, receive, send):
    body = json.dumps({"cpu": time.process_time(), "resident": resident_memory()}).encode()
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def resident_memory() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except FileNotFoundError:  # not on Linux
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


@cache
def wrapped(name: str):
    return MIDDLEWARES[name](echo)


async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await wrapped(scope["path"][1:])(scope, receive, send)
    elif scope["type"] == "http":
        await usage(scope, receive, send)
