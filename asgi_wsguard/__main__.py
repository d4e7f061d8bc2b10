"""The command line, as ``python -m asgi_wsguard``."""

from __future__ import annotations

import sys

from asgi_wsguard.cli import main

if __name__ == "__main__":
    sys.exit(main())
