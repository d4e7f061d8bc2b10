"""hypercorn #329: over HTTP/2, an endpoint that did not close its websocket took down the client's other ones, too."""

from __future__ import annotations

import socket

import h2.config
import h2.connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, RemoteSettingsChanged, ResponseReceived, StreamEnded
from wsproto.frame_protocol import FrameProtocol

NEEDS = ("3.11", "hypercorn==0.17.3", "wsproto==1.2.0", "h11==0.14.0", "h2==4.1.0")
SERVER = "-m hypercorn -b 127.0.0.1:{port} {app}"
FRAMES = FrameProtocol(client=True, extensions=[])


async def app(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    if scope["query_string"] == b"permanent":
        assert (await receive())["text"] == "are you there?"
        await send({"type": "websocket.send", "text": "yes"})


class Browser:
    """A client with all of its websockets on one connection."""

    def __init__(self, port):
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="latin-1"))
        self._events = []
        self._http.initiate_connection()
        assert self.comes(RemoteSettingsChanged)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def open(self, path):
        stream = self._http.get_next_available_stream_id()
        headers = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", path)]
        headers += [(":authority", "127.0.0.1"), ("sec-websocket-version", "13")]
        self._http.send_headers(stream, headers)
        assert self.comes(ResponseReceived, stream)
        return stream

    def send(self, stream, data):
        self._http.send_data(stream, data)

    def reset(self, stream):
        self._http.reset_stream(stream, ErrorCodes.CANCEL)

    def comes(self, kind, stream=None, patience=5.0):
        """Tell whether such an event comes, before the connection ends."""
        self._socket.settimeout(patience)
        while True:
            while self._events:
                event = self._events.pop(0)
                if isinstance(event, kind) and getattr(event, "stream_id", None) == stream:
                    return True
            self._socket.sendall(self._http.data_to_send())
            try:
                data = self._socket.recv(65536)
            except (TimeoutError, ConnectionResetError):
                return False
            if not data:
                return False
            self._events = self._http.receive_data(data)


def other_websocket_lives(served, kind):
    with Browser(served.process.port) as browser:
        permanent = browser.open(f"/{kind}?permanent")
        short = browser.open(f"/{kind}?short")
        assert browser.comes(DataReceived, short)  # the close frame
        if browser.comes(StreamEnded, short, patience=1.0):
            browser.reset(short)
        else:  # the server waits for an answer, but hypercorn has forgotten the stream
            browser.send(short, FRAMES.close(1000))
        browser.send(permanent, FRAMES.send_data("are you there?"))
        return browser.comes(DataReceived, permanent)


def test_only_guarded_they_live(served):
    assert not other_websocket_lives(served, "bare")
    assert other_websocket_lives(served, "guarded")
    assert served.log().count("KeyError") == 1
