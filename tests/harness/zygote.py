"""A process that has imported what servers import, and forks one at each request: `zygote.py SOCKET MODULE...`.

What it forks looks like a new interpreter: arguments, environment, import path, session, signals and files are those
of the request. Only what is imported is there already. It must not have run anything, so it holds no thread and
no file.
"""

from __future__ import annotations

import ctypes
import fcntl
import importlib
import json
import multiprocessing.util
import os
import runpy
import signal
import socket
import sys
import threading
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

MOST_FDS = 250
SIZE = 2**20
SPAWNING = ("hypercorn", "anycorn")
"""Their workers are new interpreters, too, which `multiprocessing` starts."""
SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER in <sys/prctl.h>

_asking = threading.Lock()


def request(zygote: socket.socket, fds: dict[int, int], *, session: bool = False, **what: Any) -> int:
    """Return the process ID of a new child of this process.

    Args:
        zygote: the socket of a zygote that descends from this process.
        fds: the child's files, and which of this process they are.
        session: give it a session of its own.
        what: what `become` takes.
    """
    what.update(fds=list(fds), session=session)
    what["ignored"] = [number for number in SIGNALS if signal.getsignal(number) is signal.SIG_IGN]
    prctl = ctypes.CDLL(None).prctl
    with _asking:
        # The child loses its parent, and then goes to the next ancestor that takes such.
        prctl(SUBREAPER, 1, 0, 0, 0)
        socket.send_fds(zygote, [json.dumps(what).encode()], list(fds.values()))
        answer = zygote.recv(SIZE)
        prctl(SUBREAPER, 0, 0, 0, 0)
    return int(answer)


def serve(requests: socket.socket) -> dict[str, Any]:
    """Fork at each request, and return it in the fork. Ends with its client."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # its end is that of its client
    while True:
        message, fds, _, _ = socket.recv_fds(requests, SIZE, MOST_FDS)
        if not message:
            os._exit(0)
        pid_read, pid_write = os.pipe()
        between = os.fork()
        if not between:
            if os.fork():
                os._exit(0)
            what: dict[str, Any] = json.loads(message)
            if what.pop("session"):
                os.setsid()
            take_signals(what.pop("ignored"))
            os.write(pid_write, str(os.getpid()).encode())
            take_files(dict(zip(what.pop("fds"), fds)))
            return what
        os.waitpid(between, 0)  # only then is the child that of the client
        requests.send(os.read(pid_read, SIZE))
        for fd in (pid_read, pid_write, *fds):
            os.close(fd)


def take_signals(ignored: Sequence[int]) -> None:
    """Handle signals as a new interpreter does whose parent ignores these."""
    for number in SIGNALS:
        handler = signal.default_int_handler if number is signal.SIGINT else signal.SIG_DFL
        signal.signal(number, signal.SIG_IGN if number in ignored else handler)


def take_files(fds: dict[int, int]) -> None:
    """Have these files, by their new numbers, and no others."""
    above = max(*fds, *fds.values()) + 1
    copies = {number: fcntl.fcntl(fd, fcntl.F_DUPFD, above) for number, fd in fds.items()}
    for number, copy in copies.items():
        os.dup2(copy, number)
    kept = sorted(fds)
    for number, following in zip(kept, [*kept[1:], os.sysconf("SC_OPEN_MAX")]):
        os.closerange(number + 1, following)


def become(args: Sequence[str], env: dict[str, str] | None = None) -> None:
    """Do what a new interpreter does with these arguments."""
    if env is not None:
        os.environ.clear()
        os.environ.update(env)
        added = env.get("PYTHONPATH", "").split(os.pathsep)
        sys.path[:0] = [os.getcwd(), *filter(None, added)]
    importlib.invalidate_caches()
    sys.orig_argv = list(args)
    option = next(index for index, word in enumerate(args) if word in ("-m", "-c"))
    what = args[option + 1]
    sys.argv = [args[option], *args[option + 2 :]]
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    if args[option] == "-c":
        exec(what, vars(main))
    else:
        if what in SPAWNING:
            nest()
        runpy._run_module_as_main(what)  # type: ignore[attr-defined]


def nest() -> None:
    """Let the interpreters that this process will start be forks, too."""
    client, server = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if not os.fork():
        client.close()
        become(**serve(server))
        sys.exit()
    server.close()

    def spawn(path: object, args: Sequence[str | bytes], fds: Sequence[int]) -> int:
        return request(client, {fd: fd for fd in (0, 1, 2, *fds)}, args=[os.fsdecode(word) for word in args])

    multiprocessing.util.spawnv_passfds = spawn  # type: ignore[attr-defined]


def main(number: str, *modules: str) -> None:
    sys.path[0] = str(Path(__file__).parent.parent)
    for module in modules:
        importlib.import_module(module)
    del sys.path[0]
    threads, files = (len(os.listdir(f"/proc/self/{what}")) for what in ("task", "fd"))
    assert (threads, files) == (1, 5), "an import started a thread or opened a file"
    become(**serve(socket.socket(fileno=int(number))))


if __name__ == "__main__":
    main(*sys.argv[1:])
