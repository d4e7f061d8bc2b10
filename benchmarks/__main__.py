"""`python -m benchmarks [part ...]`: run some parts, or all, and print the results next to the targets."""

from __future__ import annotations

import argparse

from benchmarks import connection, drain, echo, http, memory, metrics, refusal, scaling, uvicorn
from benchmarks.middlewares import MISSING
from benchmarks.report import HEADER

PARTS = {
    "echo": echo,
    "connection": connection,
    "http": http,
    "memory": memory,
    "scaling": scaling,
    "uvicorn": uvicorn,
    "report": metrics,
    "refusal": refusal,
    "drain": drain,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("parts", nargs="*", metavar="part", help=f"any of {', '.join(PARTS)} (default: all)")
    parts = parser.parse_args().parts or list(PARTS)
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    for name in MISSING:
        print(f"left out, because it is not installed: {name}")
    for name in parts:
        part = PARTS[name]
        print(f"\n{name}: {part.__doc__}\n{HEADER}", flush=True)
        for row in part.rows():
            print(row, flush=True)


if __name__ == "__main__":
    main()
