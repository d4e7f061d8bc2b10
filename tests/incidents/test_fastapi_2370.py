"""fastapi #2370: the second user of a page got an error, because the list of users still had the one who had left."""

from __future__ import annotations

from fastapi import FastAPI, WebSocket

from asgi_wsguard.probe.model import Hear, Vanish

NEEDS = ("3.9", "fastapi==0.61.2", "starlette==0.13.6", "pydantic==1.7.2", "uvicorn==0.12.3", "websockets==8.1")
SERVER = "-m uvicorn --port {port} {app}"
OPTIONS = {"send_after_end": "raise"}
ERROR = "Unexpected ASGI message 'websocket.send', after sending 'websocket.close'"

app = FastAPI()
users = []


@app.websocket("/")
async def list_users(websocket: WebSocket):
    await websocket.accept()
    users.append(websocket)
    for user in list(users):
        try:
            await user.send_json(len(users))
        except OSError:  # so the ASGI spec has it
            users.remove(user)


def test_bare_the_second_user_is_cut_off(served):
    assert served.visit("bare", Hear(), Vanish()).messages == ["1"]
    seen = served.visit("bare")
    assert (seen.messages, seen.code) == ([], 1006)
    assert ERROR in served.log()


def test_guarded_the_second_user_is_served(served):
    for _ in range(2):
        seen = served.visit("guarded")
        assert (seen.messages, seen.code) == (["1"], 1000)
