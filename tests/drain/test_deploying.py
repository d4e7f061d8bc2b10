"""The files of docs/deploy/: their programs take them, their times add up, and what they start drains."""

from __future__ import annotations

import configparser
import inspect
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from asgi_wsguard import Drainer
from asgi_wsguard.probe.servers import SERVERS, Server, running
from harness.environments import program

DEPLOY = Path(__file__).parents[2] / "docs" / "deploy"
UNIT = DEPLOY / "asgi-wsguard-app@.service"
DEPLOYMENT, SERVICE = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8"))
POD = DEPLOYMENT["spec"]["template"]["spec"]
CONTAINER = POD["containers"][0]
HOOK = CONTAINER["lifecycle"]["preStop"]["exec"]["command"]
ROWS = json.loads((DEPLOY / "servers.json").read_text(encoding="utf-8"))
EXIT_TIMEOUT: float = inspect.signature(Drainer).parameters["exit_timeout"].default
QUICK = {"DRAIN_GRACE": "0.2", "DRAIN_SPREAD": "0.2", "PYTHONPATH": str(DEPLOY)}


def service() -> configparser.SectionProxy:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(UNIT.read_text(encoding="utf-8"))
    return unit["Service"]


def closed(websocket: ClientConnection) -> int:
    with pytest.raises(ConnectionClosed) as ended:
        websocket.recv(timeout=20)
    assert ended.value.rcvd is not None
    return ended.value.rcvd.code


def as_server(command: list[str], port: str) -> Server:
    """Return the command as a server of the probe's, started by this very Python."""
    assert command[0].endswith("python")
    return Server("deployed", " ".join(command[1:]).replace(port, "{port}").replace("app:app", "{app}"))


# Times


def least(grace: str, spread: str, command: str = "") -> float:
    """Return the seconds that it may take: the drain, apps that ignore that they are cancelled, the server itself."""
    after = re.search(r"--timeout-graceful-shutdown (\d+)", command)
    return float(grace) + float(spread) + 2 * EXIT_TIMEOUT + (float(after[1]) if after else 0)


def test_systemd_waits_long_enough() -> None:
    env = dict(setting.split("=") for setting in service()["Environment"].split())
    most = least(env["DRAIN_GRACE"], env["DRAIN_SPREAD"], service()["ExecStart"])
    assert float(service()["TimeoutStopSec"]) > most


def test_kubernetes_waits_long_enough() -> None:
    env = {variable["name"]: variable["value"] for variable in CONTAINER["env"]}
    most = least(env["DRAIN_GRACE"], env["DRAIN_SPREAD"], " ".join(CONTAINER["command"]))
    assert POD["terminationGracePeriodSeconds"] > most


@pytest.mark.parametrize(
    "row", [row for row in ROWS if "--graceful-timeout" in row["command"]], ids=lambda r: r["like"]
)
def test_gunicorn_waits_long_enough(row: dict[str, Any]) -> None:
    assert float(re.findall(r"--graceful-timeout (\d+)", row["command"])[0]) > least("10", "10")


# systemd


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    there = tmp_path / UNIT.name
    text = UNIT.read_text(encoding="utf-8")
    there.write_text(text.replace("/srv/app/.venv/bin/python", sys.executable).replace("/srv/app", str(tmp_path)))
    command = [program("systemd-analyze", "systemd"), "verify", "--man=no", "--recursive-errors=no", str(there)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, there.name in done.stderr) == (0, False), done.stderr


def test_what_systemd_starts_drains_on_sigterm() -> None:
    assert service()["KillMode"] == "mixed"
    with running(as_server(shlex.split(service()["ExecStart"]), "%i"), app="app:app", env=QUICK) as process:
        with connect(f"ws://127.0.0.1:{process.port}/echo") as websocket:
            websocket.send("hello")
            assert websocket.recv(timeout=20) == "hello"
            process.process.terminate()
            assert closed(websocket) == 1012
        process.process.wait(20)


# Kubernetes


@pytest.mark.parametrize("document", [DEPLOYMENT, SERVICE], ids=lambda document: document["kind"])
def test_kubernetes_takes_the_file(document: dict[str, Any]) -> None:
    kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


def test_kubernetes_refuses_what_is_no_field() -> None:
    wrong = {**DEPLOYMENT, "spec": {**DEPLOYMENT["spec"], "replica": 2}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize(
    "server",
    [as_server(CONTAINER["command"], "8000"), *(server for server in SERVERS if "asyncio" in server.name)],
    ids=lambda server: server.name,
)
def test_the_hook_drains_before_sigterm(server: Server) -> None:
    """On hypercorn and anycorn, too, whose workers get no signal."""
    with running(server, app="app:app", env=QUICK) as process:
        with connect(f"ws://127.0.0.1:{process.port}/echo") as websocket:
            hook = [part.replace("8000", str(process.port)) for part in HOOK]
            done = subprocess.run([sys.executable, *hook[1:]], capture_output=True, text=True, timeout=20, check=True)
            assert "1 were closed" in done.stdout
            assert closed(websocket) == 1012
        process.process.terminate()
        process.process.wait(20)
