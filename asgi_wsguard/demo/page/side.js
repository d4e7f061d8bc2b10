// One side of a row: what it shows while its websocket is open, and at the end.

import { PATIENCE, describe, faults, list, visit } from "./visit.js";

export const SIDES = { bare: "Without the guard", guarded: "With the guard" };
const EVENTS = 24; // messages shown of one websocket

export const $ = (id) => document.getElementById(id);
export const copy = (id) => $(id).content.cloneNode(true);

/** Make an element with a text. */
export function element(name, text, properties = {}) {
  const made = Object.assign(document.createElement(name), properties);
  made.textContent = text;
  return made;
}

const duration = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);

export class Side {
  constructor(row, kind) {
    this.kind = kind;
    this.cell = row.summary.querySelector(`[data-side=${kind}]`);
    this.cell.append(copy("side"));
    this.cell.querySelector(".caption").textContent = SIDES[kind];
    this.panel = copy("panel").firstElementChild;
    this.panel.querySelector("h2").append(SIDES[kind]);
    row.detail.querySelector(".panels").append(this.panel);
    this.show("idle", "");
  }

  show(state, what, more = "") {
    this.cell.dataset.state = this.panel.dataset.state = state;
    for (const within of [this.cell, this.panel]) within.querySelector(".mark").dataset.state = state;
    this.cell.querySelector(".what").textContent = what;
    this.cell.querySelector(".more").textContent = more;
  }

  fill(part, items) {
    this.panel.querySelector(part).replaceChildren(...items.map((item) => element("li", item)));
  }

  async run(scenario, signal) {
    for (const part of [".faults", ".events", ".facts", ".log"]) this.fill(part, []);
    this.show("running", "waits for its turn");
    let clock;
    try {
      const result = await visit(this.kind, scenario, signal, (event) => {
        if (event.name === "ended") {
          clearInterval(clock);
          this.show("running", "ended", "what is left behind?");
          return;
        }
        if (event.name === "new WebSocket") clock = this.startClock();
        if (event.name === "onopen") this.phase = "open";
        this.event(event);
      });
      this.end(scenario, result);
    } catch (error) {
      clearInterval(clock);
      this.show("idle", signal.aborted ? "stopped" : `failed: ${error.message}`);
    }
  }

  startClock() {
    const start = performance.now();
    const limit = this.kind === "bare" ? ` of ${PATIENCE.bare}` : "";
    this.phase = "no answer yet";
    const tick = () => {
      const ms = performance.now() - start;
      this.show("running", this.phase, `still waiting, ${(ms / 1000).toFixed(1)}${limit} s`);
    };
    tick();
    return setInterval(tick, 100);
  }

  event({ ms, name, text }) {
    const events = this.panel.querySelector(".events");
    const item = element("li", "");
    const what = element("span", "");
    what.append(element("code", name), ` ${text ?? ""}`);
    item.append(element("span", `${Math.round(ms)} ms`, { className: "ms" }), what);
    const messages = [...events.querySelectorAll("[data-message]")];
    if (name === "onmessage" && messages.length >= EVENTS) {
      const last = messages.at(-1);
      last.dataset.message = Number(last.dataset.message) + 1;
      last.lastChild.lastChild.textContent = ` and ${last.dataset.message} more`;
    } else {
      if (name === "onmessage") item.dataset.message = 0;
      events.append(item);
    }
  }

  end(scenario, result) {
    const found = faults(scenario, result);
    const state = found.length ? "broken" : "kept";
    const tasks = result.tasks.length;
    const behind = [result.running && "the app", tasks && `${tasks} ${tasks === 1 ? "task" : "tasks"}`].filter(Boolean);
    const left = behind.length ? `left: ${list(behind)}` : "nothing left";
    this.show(state, describe(result), `${duration(result.ms)} · ${left}`);
    this.fill(".faults", found.length ? found : ["as promised"]);
    this.fill(".facts", [
      result.status ? `it answered the handshake with ${result.status}` : "it did not answer the handshake",
      result.running ? "the app still runs" : `the app ended after ${duration(result.seconds * 1000)}`,
      `tasks left behind: ${list(result.tasks)}`,
      ...(result.notes.length ? [`the app saw ${list(result.notes)}`] : []),
    ]);
    const nothing = this.kind === "bare" ? "there is no guard" : "nothing";
    this.fill(".log", result.log.length ? result.log.map(([level, text]) => `${level} ${text}`) : [nothing]);
  }
}
