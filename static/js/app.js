// The page: its parts, and what is done with a session without leaving it: the menus' forms, and the title renamed in place.

import "./chat-messages.js";
import "./chat-composer.js";
import "./small-elements.js";
import { bring, live, reason } from "./socket.js";

// One menu for all chats of the list: filled for the one that asked, and opened beside it.
class ItemMenu extends HTMLElement {
  connectedCallback() {
    this.menu = this.querySelector("[popover]");
    this.form = this.querySelector("form");
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#open(event.submitter);
    });
  }

  async #open(button) {
    const { next } = this.form.elements;
    await htmx.ajax("GET", `${button.formAction}?next=${encodeURIComponent(next.value)}`, this.menu);
    if (!this.menu.hasChildNodes()) return;
    this.menu.dataset.opener = button.id;
    const { top, right } = (document.getElementById(button.id) ?? button).getBoundingClientRect();
    this.menu.showPopover();
    this.menu.style.setProperty("--top", `${Math.max(8, Math.min(top, innerHeight - this.menu.offsetHeight - 8))}px`);
    this.menu.style.setProperty("--left", `${right + 4}px`);
    this.menu.querySelector("a, button, input")?.focus();
  }
}

// The title is renamed where it stands: Enter and leaving save, Esc takes it back; what is refused stays to be mended.
class RenameTitle extends HTMLElement {
  connectedCallback() {
    this.heading = this.querySelector("h1");
    this.form = this.querySelector("form");
    this.button = this.heading.querySelector("button");
    this.input = this.form.elements.title;
    this.error = this.form.querySelector("[role=alert]");
    document.title = `${this.button.textContent} · WebChat`;
    this.button.addEventListener("click", (event) => {
      event.preventDefault();
      this.#turn(true);
    });
    this.input.addEventListener("keydown", (event) => event.key === "Escape" && this.#cancel(event));
    this.input.addEventListener("blur", () => this.#left());
    this.form.addEventListener("htmx:beforeRequest", () => (this.sending = true));
    this.form.addEventListener("htmx:afterRequest", ({ detail }) => this.#answered(detail));
  }

  #turn(open) {
    const had = this.contains(document.activeElement);
    this.toggleAttribute("data-open", open);
    this.heading.classList.toggle("visually-hidden", open); // the page keeps its heading
    this.button.tabIndex = open ? -1 : 0;
    this.form.hidden = !open;
    if (open) this.input.select();
    else if (had) this.button.focus();
  }

  #cancel(event) {
    event?.preventDefault(); // Esc stops a reply elsewhere
    this.input.value = this.input.defaultValue;
    this.#say("");
    this.#turn(false);
  }

  #left() {
    if (this.form.hidden || !document.hasFocus()) return;
    if (this.sending) return;
    if (!this.input.value.trim() || this.input.value === this.input.defaultValue) return this.#cancel();
    this.form.requestSubmit();
  }

  #answered(detail) {
    this.sending = false;
    this.#say(reason(detail));
    if (!detail.successful) return;
    this.button.firstElementChild.textContent = this.input.defaultValue = this.input.value;
    this.#turn(false);
  }

  #say(words) {
    this.error.textContent = words;
    this.error.hidden = !words;
    this.input.ariaInvalid = String(Boolean(words));
  }
}

// Forms of a menu: what the server refuses is said in it; otherwise the menu closes.
class SaysWhy extends HTMLElement {
  connectedCallback() {
    this.addEventListener("htmx:afterRequest", ({ detail }) => {
      if (detail.requestConfig.verb !== "post") return;
      const error = this.querySelector("[role=alert]");
      error.textContent = reason(detail);
      error.hidden = detail.successful;
      if (detail.successful) this.closest("[popover]")?.hidePopover();
    });
  }
}

customElements.define("item-menu", ItemMenu);
customElements.define("rename-title", RenameTitle);
customElements.define("says-why", SaysWhy);

live.open();

// Dialogs come later, and so does what opens them.
document.addEventListener("htmx:afterSwap", () => document.querySelector("modal-dialog") && bring("modal-dialog").catch(() => {}));

// What is needed just when there is no connection is there before.
const inTime = () => Promise.allSettled(["drafts", "taking-out", "versions", "signing-out"].map(bring));
const idle = window.requestIdleCallback ?? setTimeout;
if (document.querySelector("chat-messages[data-chat]")) addEventListener("load", () => idle(inTime));

// Times are shown in the reader's zone; the server has no other way to know it.
document.cookie = `zone=${Intl.DateTimeFormat().resolvedOptions().timeZone}; path=/; max-age=31536000; samesite=lax`;
