// Elements of a few lines each, and the one that holds the text of a running reply.

import { bring, live } from "./socket.js";

const STAYS = 20_000; // ms

class CopyButton extends HTMLElement {
  connectedCallback() {
    this.button = this.querySelector("button");
    this.button.hidden = false;
    this.label = this.button.textContent;
    this.button.addEventListener("click", () => this.#copy());
    if (this.dataset.from) for (const near of ["pointerenter", "focusin"]) this.addEventListener(near, () => this.#fetched().catch(() => {}));
  }

  get #text() {
    const { text, from } = this.dataset;
    if (from) return this.#fetched();
    return Promise.resolve(text ?? this.closest("figure").querySelector("code").textContent);
  }

  // What the page shows rendered is asked for as it was written, when somebody comes near.
  #fetched() {
    this.fetching ??= fetch(this.dataset.from).then((response) => {
      if (!response.ok || response.redirected) throw new Error(response.status);
      return response.text();
    });
    this.fetching.catch(() => (this.fetching = null));
    return this.fetching;
  }

  async #copy() {
    const copied = await copy(this.#text).catch(() => false);
    this.button.textContent = copied ? "Copied" : "Not copied";
    this.toggleAttribute("data-copied", copied);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.button.textContent = this.label;
      this.removeAttribute("data-copied");
    }, 1500);
  }
}

// The clipboard API exists on https and localhost only; elsewhere the old way still works. Takes a promise of text.
async function copy(text) {
  try {
    const blob = text.then((words) => new Blob([words], { type: "text/plain" }));
    await navigator.clipboard.write([new ClipboardItem({ "text/plain": blob })]);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = await text;
    area.className = "visually-hidden";
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    return copied;
  }
}

class ElapsedTime extends HTMLElement {
  connectedCallback() {
    this.timer = setInterval(() => this.#show(), 1000);
  }

  disconnectedCallback() {
    clearInterval(this.timer);
  }

  // What is waited for has changed.
  say(words) {
    if (words === this.dataset.says) return;
    this.dataset.says = words;
    this.textContent = words[0].toUpperCase() + words.slice(1);
    this.#show();
  }

  #show() {
    const seconds = Math.floor((Date.now() - new Date(this.dataset.since)) / 1000);
    if (seconds < 10) return;
    const span = seconds < 60 ? `${seconds} s` : seconds < 3600 ? `${Math.floor(seconds / 60)} min` : `${Math.floor(seconds / 3600)} h`;
    this.textContent = `${seconds < 60 ? "" : "Still here: "}${this.dataset.says} (${span})`;
  }
}

// The text of a reply while it is written: finished blocks, then the rest as it came.
class LiveReply extends HTMLElement {
  connectedCallback() {
    this.seq = Number(this.dataset.seq);
    this.upto = Number(this.dataset.upto);
    this.blocks = this.querySelector("[data-part=blocks]");
    const tail = this.querySelector("[data-part=tail]");
    this.tail = tail.firstChild ?? tail.appendChild(new Text());
  }

  // Somebody writes it.
  begin() {
    const message = this.closest(".message");
    if (message.dataset.state !== "waiting") return;
    message.dataset.state = "streaming";
    this.#say("the agent is working");
  }

  think() {
    if (this.seq === 0) this.#say("thinking");
  }

  // A rendering with more text takes its place.
  renew(next) {
    if (!(Number(next?.dataset.seq) > this.seq)) return;
    this.replaceWith(next);
    next.#say("the agent is working");
  }

  // False when something is missing before this piece.
  take({ after, seq, text }) {
    if (after === 0 && this.seq > 0) this.#startOver();
    if (after !== this.seq) return seq <= this.seq;
    if (after === 0) this.#say("the agent is working");
    this.seq = seq;
    this.tail.appendData(text);
    return true;
  }

  // Rendered blocks take the place of their raw text; a start of 0 means all of them.
  settle({ start, upto, html }) {
    if (upto <= this.upto || upto > this.upto + this.tail.length) return true;
    if (start !== 0 && start !== this.upto) return false;
    if (start === 0) this.blocks.replaceChildren();
    this.blocks.append(document.createRange().createContextualFragment(html));
    this.tail.deleteData(0, upto - this.upto);
    this.upto = upto;
    return true;
  }

  // What is waited for.
  #say(words) {
    this.closest(".message").querySelector("elapsed-time")?.say(words);
  }

  #startOver() {
    this.blocks.replaceChildren();
    this.tail.data = "";
    this.seq = this.upto = 0;
  }
}

class ConnectionLine extends HTMLElement {
  connectedCallback() {
    live.addEventListener("down", () => (this.hidden = false));
    live.addEventListener("up", () => (this.hidden = true));
  }
}

class JumpToLatest extends HTMLElement {
  connectedCallback() {
    this.addEventListener("click", () => document.querySelector("chat-messages").latest());
  }
}

// The list of chats stays where it was when another page of the app comes, and as long as it was when it is refreshed.
class ChatList extends HTMLElement {
  connectedCallback() {
    this.scrollTop = Number(sessionStorage.getItem("list-scroll") ?? 0);
    addEventListener("pagehide", () => sessionStorage.setItem("list-scroll", this.scrollTop));
    this.addEventListener("htmx:configRequest", ({ target, detail }) => {
      if (target === this) detail.parameters.shown = this.querySelectorAll(".chat-item").length;
    });
  }
}

// Up and down walk through what can be chosen.
class ArrowKeys extends HTMLElement {
  connectedCallback() {
    this.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const all = [...this.querySelectorAll("a, button, input:not([type=hidden])")].filter((one) => one.checkVisibility());
      all.at((all.indexOf(document.activeElement) + step) % all.length).focus();
    });
    this.addEventListener("toggle", ({ newState }) => newState === "open" && this.querySelector("a, button").focus());
  }
}

const MAC = /Mac|iP(hone|ad)/.test(navigator.platform);

// The field opens the dialog, which takes over what is typed; so does Ctrl or ⌘ K. With Shift and O: a new chat.
class SearchField extends HTMLElement {
  connectedCallback() {
    this.field = this.querySelector("input");
    this.querySelector("kbd").textContent = MAC ? "⌘K" : "Ctrl K";
    document.querySelector("#new-chat kbd").textContent = MAC ? "⇧⌘O" : "Ctrl ⇧ O";
    this.addEventListener("click", () => this.#open());
    this.addEventListener("input", (event) => event.isComposing || this.#open());
    this.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#open();
    });
    document.addEventListener("keydown", (event) => this.#key(event));
    document.addEventListener("keydown", (event) => event.target.matches("#search input") && this.#early(event));
  }

  #key(event) {
    if (event.altKey || !(MAC ? event.metaKey : event.ctrlKey)) return;
    const key = event.key.toLowerCase() + (event.shiftKey ? "+shift" : "");
    if (key !== "k" && key !== "o+shift") return;
    event.preventDefault();
    if (key === "k") this.#open();
    else document.getElementById("new-chat").click();
  }

  #open() {
    const dialog = document.getElementById("search");
    if (document.querySelector("dialog[open]")) return;
    const form = dialog.querySelector("form");
    form.elements.q.value = this.field.value;
    this.field.value = "";
    dialog.showModal();
    form.dispatchEvent(new Event("opened"));
    this.loaded = bring("session-search");
    this.loaded.catch(() => {}); // offline: the next time
  }

  // A key that comes before the file that reads it waits for that; where it does not come, what is found is a page.
  #early(event) {
    const { key, target } = event;
    if (!["Enter", "ArrowDown", "ArrowUp"].includes(key) || event.isComposing || customElements.get("session-search")) return;
    event.preventDefault();
    const walk = () => target.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    if (key === "Enter") this.loaded.then(() => target.form.requestSubmit(), () => target.form.submit());
    else this.loaded.then(walk, () => {});
  }
}

// Says what was done for a while; longer for who points at it or stands in it.
class PassingToast extends HTMLElement {
  connectedCallback() {
    this.addEventListener("htmx:afterRequest", ({ detail }) => detail.successful && this.remove());
    this.timer = setInterval(() => this.matches(":hover, :focus-within") || this.remove(), STAYS);
  }

  disconnectedCallback() {
    clearInterval(this.timer);
  }
}

class TryThis extends HTMLElement {
  connectedCallback() {
    this.addEventListener("click", () => {
      const box = document.querySelector("#composer textarea");
      box.value = this.textContent.trim();
      box.focus();
    });
  }
}

const JUST_BEGUN = 1_000; // ms
let stoppable = {}; // which reply Stop is for, and since when

// A reply that begins where another was stopped, or ended, is not what a press was meant for that came just then.
class StopButton extends HTMLElement {
  connectedCallback() {
    const { value: reply } = this.querySelector("button");
    if (reply !== stoppable.reply) stoppable = { reply, since: stoppable.reply ? performance.now() : -JUST_BEGUN };
    this.closest("form").addEventListener("submit", (event) => this.#guard(event), { capture: true });
  }

  #guard(event) {
    if (performance.now() - stoppable.since > JUST_BEGUN) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }
}

customElements.define("copy-button", CopyButton);
customElements.define("stop-button", StopButton);
customElements.define("elapsed-time", ElapsedTime);
customElements.define("live-reply", LiveReply);
customElements.define("connection-line", ConnectionLine);
customElements.define("jump-to-latest", JumpToLatest);
customElements.define("chat-list", ChatList);
customElements.define("arrow-keys", ArrowKeys);
customElements.define("search-field", SearchField);
customElements.define("passing-toast", PassingToast);
customElements.define("try-this", TryThis);
