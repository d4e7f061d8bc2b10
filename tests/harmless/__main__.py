"""`python -m harmless SERVER [APP ...]`: print what happened, bare and guarded."""

from __future__ import annotations

import sys

from harmless.apps import apps
from harmless.compare import differences
from harmless.play import SERVERS, play

name, *wanted = sys.argv[1:]
chosen = [app for app in apps() if app.works_on(name) and (not wanted or any(part in app.name for part in wanted))]
for app, (bare, guarded) in play(SERVERS[name], chosen).items():
    print(f"== {app}, {bare.took:.2f} s and {guarded.took:.2f} s")
    found = differences(bare, guarded)
    for part in sorted({*bare.parts, *guarded.parts} - {*found}):
        print(f"   {part}: {bare.parts[part]}")
    for difference in found.values():
        print(f"## {difference}")
