// This page's live connection: hands on what it hears as events, and comes back by itself.

const SIGNED_OUT = 4401;
const GONE = 4404;
const FIRST_PAUSE = 500; // ms
const LONGEST_PAUSE = 30_000;
const PING_EVERY = 25_000;
const PONG_WITHIN = 10_000;
const QUIET_FOR = 2_000; // a short break is not worth a line on the screen
const ACK_EVERY = 64_000; // characters
const ACK_AFTER = 1_000; // ms

class Live extends EventTarget {
  #socket = null;
  #failures = 0;
  #unacked = 0;
  #timers = {};
  #over = false;
  #answering = false;

  open() {
    this.#connect();
    addEventListener("online", () => this.#hurry());
    document.addEventListener("visibilitychange", () => document.hidden || this.#hurry());
    this.#timers.ping = setInterval(() => this.#ping(), PING_EVERY);
  }

  get failures() {
    return this.#failures;
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
    socket.onmessage = (event) => this.#hear(JSON.parse(event.data));
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
    this.#failures += 1;
    if (code === SIGNED_OUT || code === GONE) {
      this.#over = true;
      return this.#tell(code === GONE ? "gone" : "signed-out");
    }
    this.#timers.down ??= setTimeout(() => this.#tell("down"), QUIET_FOR);
    const pause = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (this.#failures - 1));
    this.#timers.again = setTimeout(() => this.#connect(), pause * (0.5 + Math.random() / 2));
  }

  #hurry() {
    if (this.#socket === null) this.#connect();
    else this.#ping();
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
