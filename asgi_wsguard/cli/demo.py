"""The command `demo`."""

from __future__ import annotations

import click


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="The port; 0 means any free one."
)
def demo(host: str, port: int) -> None:
    """Serve a page where your browser opens websockets to misbehaving apps, without the guard and with it.

    It shows, side by side, what the browser saw and what was left behind in the server.
    """
    try:
        from asgi_wsguard.demo.server import listen, serve
    except ModuleNotFoundError as error:
        raise click.UsageError(f"{error.name} is not installed: pip install 'asgi-wsguard[demo]'") from None
    try:
        listener = listen(host, port)
    except OSError as error:
        why = str(error.strerror).partition(" (")[0]  # without repeating the address
        raise click.UsageError(f"cannot listen on {host} port {port}: {why}") from None
    shown = f"[{host}]" if ":" in host else host
    click.echo(f"Open http://{shown}:{listener.getsockname()[1]}/ in a browser. Ctrl-C ends the demo.")
    serve(listener)
