"""Replaces the marks in the pages by tables from the code, so that the pages cannot contradict it.

A mkdocs hook: `<!-- states -->` becomes the state diagram, `<!-- rooms -->` the picture of the package,
`<!-- obligations -->` the table of what the guard sends when the app has ended, and `<!-- limits -->` of what it sends
when a limit is reached. `<!-- outcomes -->` becomes the list of outcomes. `<!-- clients -->` and
`<!-- clients bare -->` become the results of the test clients, `<!-- clients seen -->` their date and releases.
`<!-- metrics -->` becomes the table of the metrics, `<!-- clauses H -->` the clauses whose id begins with H, and
`<!-- why -->` the reasons of all. `<!-- tls -->` becomes the TLS command line of each server, `<!-- stopping -->` what
servers do on SIGTERM, `<!-- deploy NAME -->` a file of docs/deploy/, and `<!-- together NAME -->` a file of
docs/together/. `<!-- readme -->` becomes the table of the README. The marks that begin with `compat` become the tables
of `compat.tables`.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asgi_wsguard import Outcome
from asgi_wsguard.contract import CLAUSES, SECTIONS
from asgi_wsguard.integrations.metrics import METRICS, Kind, translated
from asgi_wsguard.probe.scenarios import SCENARIOS
from asgi_wsguard.probe.servers import SERVERS, SETUPS
from asgi_wsguard.probe.tls import over_tls
from asgi_wsguard.rules.states import (
    ENDED,
    OBLIGATIONS,
    EndReason,
    Obligation,
    State,
)
from compat import tables as compat
from pictures import rooms, states

if TYPE_CHECKING:  # the tests fill marks without mkdocs
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent

LANGUAGES = {"py": "python", "conf": "nginx", "service": "ini", "yaml": "yaml"}


def clause_table(letter: str) -> str:
    """Return the clauses of a section. Those of the end have only one column."""
    subject = {"D": "the connection", "E": "the promise"}.get(letter, "the app")
    columns = [subject] if letter == "E" else [subject, "the client gets", "the app sees"]
    clauses = [clause for clause in CLAUSES.values() if clause.id.startswith(letter)]
    return _table(["id", *columns], [clause[: len(columns) + 1] for clause in clauses])


def why_table() -> str:
    """Return the reason of each clause."""
    return _table(["id", "why"], [(clause.id, clause.why) for clause in CLAUSES.values()])


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


def obligation_table(endings: Collection[EndReason]) -> str:
    """Return what the guard sends when the connection ends for one of these reasons, with a row for each message."""
    by_state: dict[tuple[str, str, str], list[str]] = {}
    for (state, ending), obligation in OBLIGATIONS.items():
        if ending in endings:
            by_state.setdefault((obligation.clause, state.value, _obliged(state, obligation)), []).append(ending.value)
    states: dict[tuple[str, str, str], list[str]] = {}
    for (clause, state, owed), did in by_state.items():
        states.setdefault((clause, _either(did), owed), []).append(state)
    lines = ["| clause | the connection is | the app | the guard sends |", "| --- | --- | --- | --- |"]
    lines += [f"| {clause} | {_either(was)} | {did} | {owed} |" for (clause, did, owed), was in states.items()]
    return "\n".join(lines)


def _either(words: list[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def _obliged(state: State, obligation: Obligation) -> str:
    if state is State.OPEN:
        return f"close {obligation.code.value}"
    if state is State.LEFT:
        return "a close, which no client receives, but some servers wait for"
    if obligation.status is not None:
        return f"a denial, {obligation.status}"
    if obligation.finish:
        return "the start with an empty body" if state is State.HELD else "the end of the body"
    return "nothing more"


def outcome_table() -> str:
    """Return the outcomes of a report."""
    lines = ["| outcome | clause | level of the log line |", "| --- | --- | --- |"]
    lines += [f"| `{one.value}` | {one.clause} | {logging.getLevelName(one.level)} |" for one in Outcome]
    return "\n".join(lines)


def client_table(kind: str) -> str:
    """Return the results of the test clients, with a row for all scenarios with the same results."""
    seen = _seen()
    rows: dict[tuple[str, ...], list[str]] = {}
    for scenario in SCENARIOS:
        if scenario.name in seen[kind]:
            told = seen[kind][scenario.name]
            rows.setdefault(tuple(told[client] for client in seen["versions"]), []).append(
                f"{scenario.clause} {scenario.title}"
            )
    packages = [version.split()[0] for version in seen["versions"].values()]
    lines = [f"| the app | {' | '.join(packages)} |", "| --- " * (len(packages) + 1) + "|"]
    lines += [f"| {'<br>'.join(titles)} | {' | '.join(map(_told, told))} |" for told, titles in rows.items()]
    return "\n".join(lines)


def _told(text: str) -> str:
    if text == "hangs":
        return "**hangs**"
    return text if text.startswith("cannot") or text in ("nothing", "either") else f"`{text}`"


def tls_commands() -> str:
    """Return the commands with which the tests start each server over TLS, one line for each program."""
    commands: dict[str, str] = {}
    for server in SERVERS:
        program, *arguments = over_tls(server).arguments(8443, "app:app")[1:]
        commands.setdefault(program, " ".join([program, *arguments]))
    return "\n".join(["```text", *commands.values(), "```"])


def _seen() -> dict[str, Any]:
    seen: dict[str, Any] = json.loads((ROOT / "tests" / "clients" / "seen.json").read_text(encoding="utf-8"))
    return seen


# What Prometheus appends to the name.
SUFFIXES = {Kind.COUNTER: "_total", Kind.UP_DOWN_COUNTER: "", Kind.HISTOGRAM: "_seconds"}


def metric_table() -> str:
    """Return the metrics, each with both of its names."""
    lines = ["| metric | in Prometheus | kind | unit | labels |", "| --- " * 5 + "|"]
    for metric in METRICS:
        name = f"`{metric.name}`<br>{metric.description}"
        labels = "<br>".join(f"`{label}`" for label in metric.labels)
        prometheus = f"`{translated(metric.name)}{SUFFIXES[metric.kind]}`"
        lines.append(f"| {name} | {prometheus} | {metric.kind.value} | `{metric.unit}` | {labels} |")
    return "\n".join(lines)


def stopping_table() -> str:
    """Return what each server does on SIGTERM on its own, and its command line."""
    lines = ["| server | on its own | the clients get | command line | |", "| --- | --- | --- | --- | --- |"]
    for row in json.loads(_deployed("servers.json")):
        command = row["command"].format(app="app:app", port=8000)
        code = "nothing" if row["code"] is None else row["code"]
        lines.append(f"| {row['shown']} | {row['today']} | {code} | `{command}` | {row['note']} |")
    return "\n".join(lines)


def _deployed(name: str) -> str:
    return (ROOT / "docs" / "deploy" / name).read_text(encoding="utf-8")


def _shown(mark: re.Match[str]) -> str:
    folder, name = mark.groups()
    kind = LANGUAGES[name.rpartition(".")[2]]
    return f"```{kind}\n{(ROOT / 'docs' / folder / name).read_text(encoding='utf-8')}```"


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the icon of the demo page, which is the logo."""
    from mkdocs.structure.files import File

    icon = ROOT / "asgi_wsguard" / "demo" / "page" / "icon.svg"
    files.append(File.generated(config, "images/icon.svg", abs_src_path=str(icon)))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Fill the marks (called by mkdocs for each page)."""
    marks = {
        **{f"<!-- clauses {letter} -->": clause_table(letter) for letter in SECTIONS},
        "<!-- why -->": why_table(),
        "<!-- states -->": states.picture(),
        "<!-- rooms -->": rooms.picture(),
        "<!-- obligations -->": obligation_table(ENDED),
        "<!-- limits -->": obligation_table([ending for ending in EndReason if ending not in ENDED]),
        "<!-- outcomes -->": outcome_table(),
        "<!-- contributing -->": (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").replace("(docs/", "("),
        "<!-- changelog -->": (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
        "<!-- stopping -->": stopping_table(),
        "<!-- tls -->": tls_commands(),
        "<!-- clients -->": client_table("guarded"),
        "<!-- clients bare -->": client_table("bare"),
        "<!-- metrics -->": metric_table(),
        "<!-- clients seen -->": f"{_seen()['date']}, with {', '.join(_seen()['versions'].values())}",
        **{f"<!-- compat server {server.name} -->": compat.improved(server.name) for server in SETUPS},
        "<!-- readme -->": compat.readme(),
        "<!-- compat newest seen -->": compat.newest_seen(),
        "<!-- compat newest counts -->": compat.newest_counts(),
        **{f"<!-- compat newest {part} -->": compat.newest_part(part) for part in "HOE"},
        "<!-- compat since -->": compat.since(),
        "<!-- compat counts -->": compat.counts(),
        "<!-- compat failures -->": compat.failures(),
        "<!-- compat releases -->": compat.releases(),
        "<!-- compat releases seen -->": compat.releases_seen(),
    }
    for mark, text in marks.items():
        markdown = markdown.replace(mark, text)
    return re.sub(r"<!-- (deploy|together) (\S+) -->", _shown, markdown)


OUTPUT = re.compile(r'(<div class="language-text highlight"><pre><span></span><code>)(.*?)(</code>)', re.DOTALL)
OPTION = re.compile(r"(?<=[\s>])--[\w-]+")
COMMANDS = re.compile(r'<div class="language-console highlight">.*?</div>', re.DOTALL)
WHOLE = r'<span class="whole">\g<0></span>'
DRAWN = re.compile("[─←→]")  # in a table of the probe, or a drawing
LONG = 18  # letters that may not fit into a line on a phone, or into a cell
WORD = re.compile(r"(?<=[\s>])[^\s<>]+")  # in the text between tags
JOINT = re.compile(r"(?<=\w)([./_(-]+)(?=\w)")  # after which long code may wrap


def on_page_content(html: str, *, page: Page, **_: object) -> str:
    """Mark where code may wrap, and link the names in the API page (called by mkdocs for each page)."""
    if page.file.src_uri == "api.md":
        html = _linked(html)
    html = COMMANDS.sub(lambda block: OPTION.sub(WHOLE, block[0]), OUTPUT.sub(_wrapped, html))
    return re.sub(r"<code>[^<>\n]+</code>", lambda code: WORD.sub(_wrapping, code[0]), html)


def _wrapped(block: re.Match[str]) -> str:
    """Let the lines of an output wrap, unless it is a table or a drawing."""
    start, code, end = block.groups()
    if DRAWN.search(code):
        return block[0]
    code = OPTION.sub(WHOLE, code.rstrip("\n"))
    lines = "".join(f'<span class="line">{line}\n</span>' for line in code.split("\n"))
    return f"{start}{lines}{end}"


def _wrapping(word: re.Match[str]) -> str:
    """Keep a browser from ending a line after any hyphen, as in --host; a long word may end it after its parts."""
    parts = [word[0]] if len(word[0]) < LONG else JOINT.sub("\\g<1>\n", word[0]).split("\n")
    return "<wbr>".join(f'<span class="whole">{part}</span>' if re.search(r"[-/?]", part) else part for part in parts)


def _linked(html: str) -> str:
    """Link each name in the text that has its own section."""
    sections = {anchor.rpartition(".")[2]: anchor for anchor in re.findall(r'id="(asgi_wsguard\.[\w.]+)"', html)}
    classes = {name: anchor for name, anchor in sections.items() if name[0].isupper()}
    names = "|".join(classes)
    return re.sub(
        rf"(?<=[\s(])<code>({names})</code>(?!</a>)",
        lambda found: f'<a href="#{classes[found[1]]}">{found[0]}</a>',
        html,
    )
