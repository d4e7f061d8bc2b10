"""The rules of one websocket. They are pure: no module here awaits, reads a clock, starts a task or writes a log.

`connection/` applies the rules. There are three state machines, each explained at the top of its module:

- `lifecycle`, with its two tables in `states`: what may be sent to the server, and what the server is owed at the end.
- `turns`: who may receive from the server, and where the app's next message comes from.
- `deadlines`: which limit the connection has reached and, once it is over, what is due for its app.

`messages` and `denial` have no state. They check the content of single messages.
"""
