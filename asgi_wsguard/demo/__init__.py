"""The demo: a page on which a browser opens websockets to misbehaving apps, bare and guarded, and shows what it saw."""
