// One websocket, from its handshake to what it leaves behind in the server.

export const PATIENCE = { bare: 3, guarded: 30 }; // seconds until the page gives up
const TO_END = { bare: 1, guarded: 10 }; // seconds that the app has to end when its websocket has

let turn = Promise.resolve();

/**
 * Wait until no other handshake of the page is under way, and make this one. A browser would make the second one wait
 * as well, but its clock would run.
 */
function inTurn(shakeHands) {
  const mine = turn.then(shakeHands);
  turn = mine.catch(() => {});
  return mine;
}

/** Open a websocket, and record its events. */
function connect(path, tell = () => {}) {
  const start = performance.now();
  const socket = new WebSocket(new URL(path, location).href.replace(/^http/, "ws"));
  socket.binaryType = "arraybuffer";
  const seen = { opened: false, messages: [], code: null, reason: "", hung: false, left: false, ms: 0 };
  const note = (name, text = "") => tell({ ms: performance.now() - start, name, text });
  const waiting = new Set(); // for something to happen
  const changed = () => waiting.forEach((look) => look());
  const until = (done) =>
    new Promise((resolve) => {
      const look = () => done() && (waiting.delete(look), resolve());
      waiting.add(look);
      look();
    });

  socket.onopen = () => {
    seen.opened = true;
    note("onopen");
    changed();
  };
  socket.onerror = () => note("onerror");
  socket.onmessage = ({ data }) => {
    seen.messages.push(typeof data === "string" ? data : `b'${new TextDecoder().decode(data)}'`);
    note("onmessage", seen.messages.at(-1));
    changed();
  };
  socket.onclose = ({ code, reason, wasClean }) => {
    Object.assign(seen, { code, reason }, !seen.hung && { ms: performance.now() - start });
    note("onclose", `${code}${reason && ` “${reason}”`}${wasClean ? "" : ", not clean"}`);
    changed();
  };
  const ended = () => socket.readyState === WebSocket.CLOSED;
  return {
    seen,
    socket,
    answered: () => until(() => seen.opened || ended()),
    heard: (count) => until(() => seen.messages.length >= count || ended()),
    ended: () => until(ended),
    giveUp() {
      if (ended()) return;
      Object.assign(seen, { hung: true, ms: performance.now() - start });
      note("", "the page gives up");
      socket.close();
    },
  };
}

/** What the client of a scenario does. */
const STEPS = {
  say: ({ socket }, text) => socket.send(text),
  hear: (connection) => connection.heard(++connection.hears),
  leave: ({ socket }, code) => socket.close(code),
  vanish({ seen, socket }) {
    seen.left = socket.readyState === WebSocket.CONNECTING;
    socket.close();
  },
  until: ({ number }, note) => fetch(`reached/${number}/${PATIENCE.guarded}/${note}`),
  pause: (_, seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000)),
};

async function take(connection, steps) {
  for (const [name, ...more] of steps) {
    await Promise.race([STEPS[name](connection, ...more), connection.ended()]);
  }
}

/**
 * Chromium delays the handshakes of a page after every few that failed, up to seconds, unless others succeed: let one
 * succeed, or the clocks of the next ones would lie.
 */
async function succeed(number) {
  await connect(`guarded/closes/${number}-well`).ended();
}

/**
 * Run a scenario with one websocket, bare or guarded.
 *
 * `tell` is called with each event; the signal ends it early. It returns what the browser saw, and what the server reported.
 */
export async function visit(kind, scenario, signal, tell) {
  const number = `${kind}-${Math.random().toString(36).slice(2)}`;
  const path = `${kind}/${scenario.name}/${number}`;
  const company = scenario.company && (await inTurn(() => accompany(`${path}-company`)));
  try {
    const seen = await runScenario(kind, scenario, number, path, signal, tell);
    tell({ name: "ended" });
    const left = await (await fetch(`left/${number}/${signal.aborted ? 0 : TO_END[kind]}`)).json();
    signal.throwIfAborted();
    return { ...seen, ...left };
  } finally {
    if (company) company.socket.close();
  }
}

/** Be another client, which is connected before. */
async function accompany(path) {
  const connection = connect(path);
  await connection.answered();
  return connection;
}

async function runScenario(kind, scenario, number, path, signal, tell) {
  const connection = await inTurn(async () => {
    signal.throwIfAborted();
    const connection = Object.assign(connect(path, tell), { number, hears: 0 });
    const patience = setTimeout(connection.giveUp, PATIENCE[kind] * 1000);
    const stop = () => connection.socket.close();
    signal.addEventListener("abort", stop);
    connection.ended().then(() => {
      clearTimeout(patience);
      signal.removeEventListener("abort", stop);
    });
    tell({ ms: 0, name: "new WebSocket" });
    await take(connection, scenario.early);
    await connection.answered();
    if (!connection.seen.opened) await succeed(number);
    return connection;
  });
  if (connection.seen.opened) await take(connection, scenario.steps);
  await connection.ended();
  return connection.seen;
}

/** Say where the promise was broken: one line for each fault. */
export function faults(scenario, result) {
  const same = (one, other) => one === null || JSON.stringify(one) === JSON.stringify(other);
  const kept = ({ opened, code, reason, messages, status }) =>
    opened === result.opened &&
    code === result.code &&
    reason === result.reason &&
    same(messages, result.messages) &&
    same(status, result.status);
  const found = [];
  if (result.hung || !scenario.sees.some(kept)) {
    found.push(`${describe(result)}, where the promise is: ${scenario.promise}`);
  }
  if (!same(scenario.notes, result.notes)) {
    found.push(`the app saw ${list(result.notes)}, where it must see ${list(scenario.notes)}`);
  }
  if (result.running) found.push("the app still runs");
  if (result.tasks.length) found.push(`left behind: ${list(result.tasks)}`);
  return found;
}

/** Say in a few words how a websocket ended. */
export function describe({ opened, code, reason, status, hung, left }) {
  if (hung) return opened ? "never closed" : "no answer";
  if (opened) return code === 1006 ? "cut" : `closed with ${code}${reason && ` “${reason}”`}`;
  if (left) return "the browser left";
  if (status === 101) return "a handshake that no browser takes";
  return status ? `refused with ${status}` : "cut";
}

/** Write things in a row. */
export const list = (items) => items.join(", ") || "nothing";
