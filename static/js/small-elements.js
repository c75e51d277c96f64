// Elements of a few lines each.

import { live } from "./socket.js";

class CopyButton extends HTMLElement {
  connectedCallback() {
    this.button = this.querySelector("button");
    this.button.hidden = false;
    this.button.addEventListener("click", () => this.#copy());
  }

  get #text() {
    const { text, from } = this.dataset;
    if (text) return text;
    return from ? document.querySelector(from).content.textContent : this.closest("figure").querySelector("code").textContent;
  }

  async #copy() {
    const label = this.button.textContent;
    const copied = await copy(this.#text);
    this.button.textContent = copied ? "Copied" : "Not copied";
    this.toggleAttribute("data-copied", copied);
    setTimeout(() => {
      this.button.textContent = label;
      this.removeAttribute("data-copied");
    }, 1500);
  }
}

// The clipboard API exists on https and localhost only; elsewhere the old way still works.
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
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

// The list of chats stays where it was when another page of the app comes.
class KeptScroll extends HTMLElement {
  connectedCallback() {
    this.scrollTop = Number(sessionStorage.getItem("list-scroll") ?? 0);
    addEventListener("pagehide", () => sessionStorage.setItem("list-scroll", this.scrollTop));
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
customElements.define("kept-scroll", KeptScroll);
customElements.define("try-this", TryThis);
