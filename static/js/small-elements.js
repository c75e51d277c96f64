// Elements of a few lines each.

import { live } from "./socket.js";

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
    import("./session-search.js");
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

customElements.define("copy-button", CopyButton);
customElements.define("elapsed-time", ElapsedTime);
customElements.define("connection-line", ConnectionLine);
customElements.define("jump-to-latest", JumpToLatest);
customElements.define("chat-list", ChatList);
customElements.define("arrow-keys", ArrowKeys);
customElements.define("search-field", SearchField);
customElements.define("passing-toast", PassingToast);
customElements.define("try-this", TryThis);
