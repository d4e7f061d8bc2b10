"""Working apps, bare and guarded, side by side, on every server: no difference but the improvements that are listed.

To add an app, write a module in `apps/` and name it in `apps/__init__.py`. The module has a tuple `APPS` of `App`::

    async def echo(scope, receive, send):          # the ASGI app: made once for each side, see `App.make`
        note("called")                             # to the journal, which is compared
        ...

    async def client(talk):                        # runs in pytest's process
        async with talk.connect("/room") as ann:   # the path that the app sees; more than one: connect("/", who="bob")
            await ann.say("hello")
            await ann.hear()                       # all that the client gets is noted by itself
            await ann.leave()

    APPS = (App("echo", lambda: echo, client),)

- All apps on a server run in one process and at the same time, bare ones first, guarded ones after them. State belongs
  into what `App.make` returns, or else the two sides share it. An app that disturbs others has `alone=True`.
- `note(text)` writes a line to the journal of the connection that it is called in, `note(text, who="...")` to another
  one. The order of lines counts for each `who` by itself. Put nothing into it that differs from run to run.
- All times are written as on the defaults and scaled: `await anyio.sleep(seconds(12))`. Wait for events of the app's,
  where there are any, with `await talk.noted("...")`, which waits until the journal has that line.
- A client of a framework's own uses `talk.url("/path")` and writes what it gets with `talk.note(text)`.
- Tasks that the app leaves behind, the log at WARNING or above and the time it takes are compared without your help.
- Daphne cancels an app 10 seconds after its client has left, so what goes on for longer is a race there.
- An app that needs something between the server and the guard has it in `App.around`. One whose client stops the
  server, with `await talk.stop()`, has `stops=True`, and a process of its own for each side.
- An app that test suites call has `in_process=True`, and for a client a plain function, which gets a `Suite`.
- A difference that is an improvement goes into `improvements.py`, with its clause.

`python -m harmless SERVER APP ...`, in tests/, prints what happened on both sides. `scripts/harmless` runs all of it on
the real defaults, and stores the results in docs/harmless.json and docs/harmless.md.
"""
