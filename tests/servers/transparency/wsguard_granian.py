"""Granian's tests give a server, which is a process of its own, 3 s to start. So only its worker imports the guard."""

from __future__ import annotations

import functools


def serve_granian(serve, interface, **kwargs):
    """Call what granian's tests call in a process of its own; its workers are processes, too."""
    from granian import Granian

    if interface == "asgi":
        Granian.serve = functools.partialmethod(Granian.serve, target_loader=load_granian)
    serve(interface=interface, **kwargs)


def load_granian(target):
    from granian._internal import load_target
    from wsguard_guarded import Guarded

    return Guarded(load_target(target))
