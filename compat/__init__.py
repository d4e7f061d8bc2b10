"""What each server does by itself and with the guard, in its newest release and in older ones.

`scripts/compat` plays it, and writes `asgi_wsguard/probe/newest.json`, `docs/releases.json` and a table of the README.
"""
