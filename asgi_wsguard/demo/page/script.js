// The page: its table, its buttons, and the text of each row.

import { $, SIDES, Side, copy, element } from "./side.js";
import { PATIENCE } from "./visit.js";

const AT_ONCE = 4; // rows of "Run all"

const { server, scenarios, sections, clauses, left_out: leftOut } = await (await fetch("scenarios.json")).json();

/** Describe what the client of a scenario does. */
function does({ early, steps, company }) {
  const words = {
    say: (text) => `says “${text}”`,
    hear: () => "listens",
    leave: () => "leaves",
    vanish: () => "hangs up",
    until: (note) => `waits until the app is ${note}`,
    pause: (time) => `waits for ${time} s`,
  };
  const said = [...early, ...steps].map(([name, ...more]) => words[name](...more));
  const shown = said.length > 4 ? [...said.slice(0, 2), "and so on", said.at(-1)] : said;
  const first = company ? ["opens another one first"] : [];
  return [...first, ...shown].join(", ") || "only waits";
}

/** One row: a scenario, and its two sides. */
class Row {
  constructor(scenario, body) {
    this.scenario = scenario;
    const made = copy("row");
    [this.summary, this.detail] = made.children;
    const title = this.summary.querySelector(".title");
    title.textContent = scenario.title;
    title.setAttribute("aria-controls", (this.detail.id = `detail-${scenario.name}`));
    title.onclick = () => this.open(this.detail.hidden);
    const clause = this.summary.querySelector(".clause");
    clause.textContent = scenario.clause;
    clause.setAttribute("aria-label", `Clause ${scenario.clause}: what it promises`);
    clause.onclick = () => explain(clauses[scenario.clause], clause);
    this.summary.querySelector(".expect span").textContent = `promises: ${scenario.promise}`;
    this.button = this.summary.querySelector(".run");
    this.button.setAttribute("aria-label", `Run: ${scenario.title}`);
    this.button.onclick = () => this.runAlone();
    const options = Object.entries(scenario.options).map(([name, value]) => `, ${name}=${value}`);
    const play = this.detail.querySelector(".play");
    play.append(`The browser ${does(scenario)}. The guard is `);
    play.append(element("code", `WebSocketGuardMiddleware(app${options.join("")})`), ".");
    this.sides = Object.keys(SIDES).map((kind) => new Side(this, kind));
    body.append(made);
  }

  open(opened) {
    this.detail.hidden = !opened;
    this.summary.querySelector(".title").setAttribute("aria-expanded", opened);
  }

  get state() {
    return this.sides.map(({ cell }) => cell.dataset.state);
  }

  async run(signal) {
    this.button.setAttribute("aria-disabled", true);
    const [bare, guarded] = this.sides;
    try {
      // The guarded one goes first: it is always answered, while the other one may block the browser for long.
      await Promise.all([guarded, bare].map((side) => side.run(this.scenario, signal)));
    } finally {
      this.button.setAttribute("aria-disabled", false);
      count();
    }
  }

  async runAlone() {
    if (this.button.ariaDisabled === "true") return;
    this.open(true);
    await running((signal) => this.run(signal));
    const told = this.sides.map(({ kind, cell }) => {
      const { textContent: verdict } = cell.querySelector(".what");
      return `${SIDES[kind]}: ${verdict}, ${cell.dataset.state}.`;
    });
    $("status").textContent = `${this.scenario.title}. ${told.join(" ")}`;
  }
}

// The rows that run, and how to stop them.

const underWay = new Set();

async function running(work) {
  const controller = new AbortController();
  underWay.add(controller);
  $("stop").setAttribute("aria-disabled", false);
  try {
    await work(controller.signal);
  } finally {
    underWay.delete(controller);
    $("stop").setAttribute("aria-disabled", underWay.size === 0);
  }
}

async function runAll() {
  if ($("run-all").ariaDisabled === "true") return;
  $("run-all").setAttribute("aria-disabled", true);
  $("status").textContent = `Running all ${rows.length}`;
  let done = 0;
  const progress = () => {
    $("progress").value = done;
    $("count").textContent = `${done} of ${rows.length}`;
  };
  progress();
  await running(async (signal) => {
    const todo = rows.filter((row) => row.button.ariaDisabled !== "true");
    done = rows.length - todo.length;
    const work = async () => {
      while (todo.length && !signal.aborted) {
        await todo.shift().run(signal);
        done += !signal.aborted;
        progress();
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    $("status").textContent = signal.aborted ? "Stopped." : `All ${done} have run. ${scores()}`;
  }).finally(() => $("run-all").setAttribute("aria-disabled", false));
}

/** Count the rows in which the promise was kept. */
function count() {
  Object.keys(SIDES).forEach((kind, index) => {
    const states = rows.map((row) => row.state[index]);
    const [kept, broken] = ["kept", "broken"].map((state) => states.filter((one) => one === state).length);
    const score = document.querySelector(`.score[data-side=${kind}]`);
    score.querySelector("b").textContent = kept + broken ? `${kept} of ${kept + broken}` : "–";
    score.style.setProperty("--share-kept", kept / rows.length);
    score.style.setProperty("--share-broken", broken / rows.length);
  });
}

const scores = () =>
  Object.entries(SIDES)
    .map(([kind, name]) => `${name}: ${document.querySelector(`.score[data-side=${kind}] .count`).textContent}.`)
    .join(" ");

/** Show what a clause promises, next to its button. */
function explain(clause, button) {
  const parts = [
    [clause.client || clause.sees ? "An app that" : "The promise", clause.app],
    ["The client gets", clause.client],
    ["The app sees", clause.sees],
    ["Why", clause.why],
  ].filter(([, text]) => text);
  const { style } = $("promise");
  $("promise").querySelector("h2").textContent = `${clause.id}: ${sections[clause.id[0]].toLowerCase()}`;
  $("promise")
    .querySelector("dl")
    .replaceChildren(...parts.flatMap(([name, text]) => [element("dt", name), withCode(element("dd", ""), text)]));
  const { left, top, bottom } = button.getBoundingClientRect();
  const below = bottom < innerHeight * 0.6;
  style.left = `${Math.min(left, innerWidth - 12 - Math.min(384, innerWidth - 24))}px`;
  style.top = below ? `${bottom + 6}px` : "auto";
  style.bottom = below ? "auto" : `${innerHeight - top + 6}px`;
}

/** Append a text with code in `backticks`. */
function withCode(to, text) {
  to.append(...text.split("`").map((part, index) => (index % 2 ? element("code", part) : part)));
  return to;
}

// Light or dark: as in the system, until the button is used.

const dark = matchMedia("(prefers-color-scheme: dark)");

function theme(chosen) {
  document.documentElement.dataset.theme = chosen ?? "";
  const isDark = chosen ? chosen === "dark" : dark.matches;
  $("theme").textContent = isDark ? "Light" : "Dark";
  $("theme").onclick = () => theme(isDark ? "light" : "dark");
}

dark.onchange = () => theme();
theme();

// The table.

const bodies = Object.fromEntries(
  Object.entries(sections).map(([letter, name]) => {
    const body = copy("group").firstElementChild;
    body.querySelector("th").textContent = name;
    $("scenarios").append(body);
    return [letter, body];
  }),
);
const rows = scenarios.map((scenario) => new Row(scenario, bodies[scenario.clause[0]]));

$("server").textContent = server;
$("patience").textContent = PATIENCE.bare;
$("progress").max = rows.length;
$("count").textContent = `${rows.length} rows`;
$("run-all").onclick = runAll;
$("stop").onclick = () => underWay.forEach((controller) => controller.abort());
for (const [what, titles] of Object.entries(leftOut)) {
  $("left-out").append(element("dt", `It cannot ${what}`), ...titles.map((title) => element("dd", title)));
}
document.body.dataset.ready = "";
