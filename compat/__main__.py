"""`python -m compat newest [server ...]` and `python -m compat releases [package ...]`: run it, and store the results.

Without names, newest runs every server, and releases what is not stored yet.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor

from asgi_wsguard.probe.servers import SETUPS
from compat import newest, older
from compat.releases import PACKAGES

PARTS = {
    "newest": (newest.run, [server.name for server in SETUPS]),
    "releases": (older.run, [package.name for package in PACKAGES]),
}


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m compat")
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("names", nargs="*", metavar="name", help="a server of newest, or a package of releases")
    parser.add_argument("--jobs", type=int, default=3, help="how many servers at once (default: %(default)s)")
    wanted = parser.parse_args()
    run, known = PARTS[wanted.part]
    if unknown := set(wanted.names) - set(known):
        parser.error(f"{wanted.part} has no {', '.join(sorted(unknown))}; it has {', '.join(known)}")
    with ThreadPoolExecutor(wanted.jobs) as pool:
        run(pool, wanted.names)


if __name__ == "__main__":
    main()
