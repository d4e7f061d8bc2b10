"""Measures what each server does on its own and with the guard, in its newest release and in older ones.

`scripts/compat` runs it, and writes `asgi_wsguard/probe/newest.json`, `docs/releases.json` and a table of the README.
"""
