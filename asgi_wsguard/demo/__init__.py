"""The demo: a page where a browser opens websockets to misbehaving apps, bare and guarded, and shows what it saw."""
