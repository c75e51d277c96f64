// In place: looking back at an earlier version, and saying a question in other words.

import { takeBack } from "./giving-back.js";

const FAILED = "Not sent. Look at your connection, then send again.";

async function fetched(address) {
  const response = await fetch(address, { headers: { "HX-Request": "true" } });
  if (!response.ok || response.redirected) throw new Error(response.status);
  return document.createRange().createContextualFragment(await response.text()).firstElementChild;
}

export function follow(link) {
  const { way } = link.dataset;
  if (way === "edit") return edit(link);
  return way === "newest" ? comeBack(link.closest(".past")) : lookBack(link);
}

// What was fetched, and the message it is for, which may have been rendered anew meanwhile.
async function fetchedFor(link, address) {
  const { id } = link.closest(".message");
  const element = await fetched(address);
  return [element, document.getElementById(id)];
}

// What is looked back at stands before what goes on, and hides it (versions.css).
async function lookBack(link) {
  const [past, message] = await fetchedFor(link, link.dataset.way);
  const instead = message.previousElementSibling === null && message.closest(".past");
  if (instead) instead.replaceWith(past);
  else message.before(past);
  htmx.process(past);
  focusIn(past.querySelector(".message"), link.ariaLabel);
}

function comeBack(past) {
  const next = past.nextElementSibling;
  past.remove();
  focusIn(next, "Earlier version");
}

// The same way on, or the only one left.
function focusIn(message, label) {
  const ways = [...(message?.querySelectorAll(":scope > .message__footer .among a") ?? [])];
  (ways.find((way) => way.ariaLabel === label) ?? ways[0])?.focus();
}

async function edit(link) {
  const [form, message] = await fetchedFor(link, link.href);
  if (message.querySelector("edit-message")) return;
  message.append(form);
  htmx.process(form);
}

// What was typed into editors of this tab before it was loaded again.
export function reopen(messages) {
  for (const link of messages.querySelectorAll("[data-way=edit]")) {
    if (placeOf(link.closest(".message")) in sessionStorage) edit(link).catch(() => {}); // Edit brings it, too
  }
}

// A person's own, in a browser that others may use too; signing out clears it.
function placeOf(message) {
  return `edit:${document.body.dataset.user}:${message.id}`;
}

class EditMessage extends HTMLElement {
  connectedCallback() {
    this.form = this.querySelector("form");
    this.box = this.form.elements.text;
    this.error = this.querySelector("[role=alert]");
    this.place = placeOf(this.parentElement);
    this.box.value = sessionStorage.getItem(this.place) ?? this.box.value;
    this.form.addEventListener("submit", (event) => this.#submit(event));
    this.querySelector("[data-cancel]").addEventListener("click", (event) => this.#cancel(event));
    this.addEventListener("keydown", (event) => this.#key(event));
    this.box.addEventListener("input", () => this.#keep());
    this.box.focus();
    this.box.setSelectionRange(this.box.value.length, this.box.value.length);
  }

  // The message was replaced meanwhile: what another page did leaves what was typed here to the message box. It may
  // also be what was sent from here, of which the news can come before the answer.
  async disconnectedCallback() {
    const words = await this.sending;
    sessionStorage.removeItem(this.place);
    const { value, defaultValue } = this.box;
    const composer = document.querySelector("chat-composer");
    if (this.over || value === defaultValue || composer.isSaid(value)) return;
    takeBack(value, composer);
    if (words) composer.say(words);
  }

  // With every key and not when the page is left: that comes after a sign-out has cleared it.
  #keep() {
    const { value, defaultValue } = this.box;
    if (value === defaultValue) return sessionStorage.removeItem(this.place);
    try {
      sessionStorage.setItem(this.place, value);
    } catch {} // there is no room for it
  }

  #key(event) {
    if (event.key === "Escape") return this.#cancel(event);
    const composing = event.isComposing || event.keyCode === 229;
    if (event.target !== this.box || event.key !== "Enter" || event.shiftKey || composing || matchMedia("(pointer: coarse)").matches) return;
    event.preventDefault();
    if (!event.repeat) this.form.requestSubmit();
  }

  #cancel(event) {
    event.preventDefault(); // Esc stops a reply elsewhere
    this.#end().querySelector("[data-way=edit]")?.focus();
  }

  async #submit(event) {
    event.preventDefault();
    if (this.sending) return;
    this.sending = this.#post().catch(() => FAILED);
    this.#say(await this.sending);
    this.sending = null;
  }

  // Gives what to say where it was refused.
  async #post() {
    const messages = this.closest("chat-messages");
    const body = new URLSearchParams(new FormData(this.form));
    body.set("after", messages.after);
    const response = await fetch(this.form.action, { method: "POST", headers: { "HX-Request": "true" }, body });
    const words = await response.text();
    const plain = response.headers.get("Content-Type")?.startsWith("text/plain");
    if (!response.ok || response.redirected) return plain ? words : "Not sent. Reload the page; your text stays here.";
    this.#end();
    messages.pend(document.createDocumentFragment());
    messages.merge(words);
    document.querySelector("#composer textarea").focus();
    return "";
  }

  #end() {
    const message = this.parentElement;
    this.over = true;
    this.remove();
    return message;
  }

  #say(words) {
    this.error.textContent = words;
    this.error.hidden = !words;
  }
}

customElements.define("edit-message", EditMessage);
