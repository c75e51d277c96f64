// This page's live connection: hands on what it hears as events, and comes back by itself. What stands in for it, what is
// said where there is none, and the files that come later.

const SIGNED_OUT = 4401;
const GONE = 4404;
const FIRST_PAUSE = 500; // ms
const LONGEST_PAUSE = 30_000;
const PING_EVERY = 25_000;
const PONG_WITHIN = 10_000;
const QUIET_FOR = 2_000; // a short break is not worth a line on the screen
const ACK_EVERY = 64_000; // characters
const ACK_AFTER = 1_000; // ms
const POLL = 2_000; // ms, when the socket does not come up
const MANY = 2; // failures, after which HTTP stands in
const FIRST_MISS = 1_000; // ms, before what could not be fetched is asked for again

export const NO_CONNECTION = "No connection. Try again in a moment.";

const backedOff = (first, times) => Math.min(LONGEST_PAUSE, first * 2 ** times) * (0.5 + Math.random() / 2);

// A piece of a reply comes with nothing that goes without saying: it is of the same as the one before.
function frames() {
  let reply = 0;
  return (data) => {
    const frame = JSON.parse(data);
    if (frame.type) return frame;
    reply = frame.reply ?? reply;
    return { type: "delta", message: reply, after: frame.seq - 1, ...frame };
  };
}

class Live extends EventTarget {
  #socket = null;
  #failures = 0;
  #unacked = 0;
  #timers = {};
  #over = false;
  #answering = false;

  open() {
    this.#connect();
    addEventListener("online", () => this.hurry());
    document.addEventListener("visibilitychange", () => document.hidden || this.hurry());
    this.#timers.ping = setInterval(() => this.#ping(), PING_EVERY);
  }

  get failures() {
    return this.#failures;
  }

  // Whether what happens is told.
  get up() {
    return this.#socket !== null && this.#answering;
  }

  // Without the rest of the pause: there is a sign that it may work again.
  hurry() {
    if (this.#socket === null) this.#connect();
    else this.#ping();
  }

  say(frame) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(frame));
  }

  #connect() {
    if (this.#over) return;
    clearTimeout(this.#timers.again);
    const socket = new WebSocket(`${location.origin.replace("http", "ws")}/ws/`);
    this.#socket = socket;
    socket.onopen = () => this.#opened();
    const read = frames();
    socket.onmessage = (event) => this.#hear(read(event.data));
    socket.onclose = (event) => socket === this.#socket && this.#closed(event.code);
  }

  // The server may open it only to say why it closes it: what counts is that it answers.
  #opened() {
    this.#answering = false;
    this.#tell("open");
    this.#ping();
  }

  #answered() {
    this.#answering = true;
    this.#failures = 0;
    clearTimeout(this.#timers.down);
    this.#timers.down = null;
    this.#tell("up");
  }

  #hear(frame) {
    clearTimeout(this.#timers.pong);
    if (!this.#answering && frame.type !== "bye") this.#answered();
    if (frame.type === "delta") this.#count(frame);
    this.#tell(frame.type, frame);
  }

  #tell(type, detail = null) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  // The server sends only so much ahead of what the page says it has taken.
  #count(frame) {
    this.#unacked += frame.text.length;
    const ack = () => {
      clearTimeout(this.#timers.ack);
      this.#timers.ack = null;
      this.#unacked = 0;
      this.say({ type: "ack", message: frame.message, seq: frame.seq });
    };
    if (this.#unacked > ACK_EVERY) ack();
    else this.#timers.ack ??= setTimeout(ack, ACK_AFTER);
  }

  #closed(code) {
    this.#socket = null;
    this.#answering = false;
    this.#failures += 1;
    if (code === SIGNED_OUT || code === GONE) return this.#end(code);
    this.#timers.down ??= setTimeout(() => this.#tell("down"), QUIET_FOR);
    this.#timers.again = setTimeout(() => this.#connect(), backedOff(FIRST_PAUSE, this.#failures - 1));
    if (this.#failures > MANY) this.#askWhy();
  }

  #end(code) {
    this.#over = true;
    this.#tell(code === GONE ? "gone" : "signed-out");
  }

  // A browser is not told why a socket does not open; a page of nobody's leads to where one signs in.
  async #askWhy() {
    const answer = await fetch(location.pathname, { method: "HEAD", redirect: "manual" }).catch(() => null);
    if (answer?.type === "opaqueredirect" && !this.#over) this.#end(SIGNED_OUT);
  }

  // A connection may be dead without anybody saying so: no answer, no connection.
  #ping() {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    this.say({ type: "ping", t: Math.round(performance.now()) });
    clearTimeout(this.#timers.pong);
    const socket = this.#socket;
    this.#timers.pong = setTimeout(() => {
      socket.onclose = null;
      socket.close();
      this.#closed(0);
    }, PONG_WITHIN);
  }
}

export const live = new Live();

// Why an action was refused, in the server's words; nothing when it was done.
export function reason({ successful, xhr }) {
  if (successful) return "";
  if (xhr.getResponseHeader("Content-Type")?.startsWith("text/plain")) return xhr.responseText;
  return xhr.status ? `That did not work (${xhr.status}). Reload the page and try again.` : NO_CONNECTION;
}

const FILES = {
  drafts: import.meta.resolve("./drafts.js"),
  "giving-back": import.meta.resolve("./giving-back.js"),
  "modal-dialog": import.meta.resolve("./modal-dialog.js"),
  "session-search": import.meta.resolve("./session-search.js"),
  "signing-out": import.meta.resolve("./signing-out.js"),
  "slash-menu": import.meta.resolve("./slash-menu.js"),
  "taking-out": import.meta.resolve("./taking-out.js"),
  versions: import.meta.resolve("./versions.js"),
};
const FIRST = { "taking-out": "giving-back", versions: "giving-back" }; // what they import themselves
const came = {};

// A file when it is needed. That a module did not come a browser remembers as long as the page is open, so it is asked for
// as one only when it, and what it imports, has come.
export function bring(name) {
  const bringing = async () => {
    if (FIRST[name]) await bring(FIRST[name]);
    const { ok, status } = await fetch(FILES[name]);
    if (!ok) throw new Error(status);
    return import(FILES[name]);
  };
  came[name] ??= bringing().catch((error) => {
    delete came[name];
    throw error;
  });
  return came[name];
}

// What changed, over HTTP: when somebody says that there is something, and every two seconds when nobody can.
export class Updates {
  #asking = false;
  #again = false;
  #misses = 0;

  // `take` is given each answer; it may find that it was none, and throw.
  constructor(ask, take) {
    Object.assign(this, { ask, take });
    setInterval(() => live.failures > MANY && this.fetch(), POLL);
  }

  // Asked for again meanwhile: once more.
  async fetch() {
    if (this.#asking) return void (this.#again = true);
    this.#asking = true;
    try {
      await this.take(await this.ask());
      this.#answered();
    } catch {
      this.#again = false;
      this.#later(); // the socket does not tell the same news twice
    } finally {
      this.#asking = false;
      if (this.#again) {
        this.#again = false;
        this.fetch();
      }
    }
  }

  // After a break, the socket's next try need not wait; where only sockets are refused, it must.
  #answered() {
    if (this.#misses) live.hurry();
    this.#misses = 0;
  }

  #later() {
    clearTimeout(this.retry);
    this.retry = setTimeout(() => this.fetch(), backedOff(FIRST_MISS, this.#misses++));
  }
}
