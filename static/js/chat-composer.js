// The message box: Enter sends, and what was sent stays in an outbox until the server has it.

import { reason } from "./session-menus.js";

const PAUSES = [1, 2, 4, 8, 15]; // seconds before each further attempt; then the person decides
const SIGNED_OUT = "You are signed out. Sign in in another tab, then send this again.";
const STALE = "This page is too old to send from. Reload it; your text stays here.";

function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16)); // randomUUID is missing on plain http
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

// A person's own, in a browser that others may use too.
const mine = (what) => `${what}:${document.querySelector("chat-composer").dataset.user}`;

// What there is no room for is sent all the same, and given back when it is refused.
function putAside(place, what) {
  try {
    sessionStorage.setItem(place, JSON.stringify(what));
  } catch {}
}

// A list that outlives the page.
const kept = (name) => ({
  all: () => JSON.parse(sessionStorage.getItem(mine(name)) ?? "[]"),
  keep: (entries) => putAside(mine(name), entries),
});

const refused = kept("refused");
const outbox = {
  ...kept("outbox"),
  add: (entry) => outbox.keep([...outbox.all(), entry]),
  remove: (id) => outbox.keep(outbox.all().filter((entry) => entry.fields.client_id !== id)),
};

const wait = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

class ChatComposer extends HTMLElement {
  #sending = Promise.resolve();
  #sentSomething = false;

  connectedCallback() {
    this.form = this.querySelector("form");
    this.box = this.form.elements.text;
    this.error = this.querySelector(".composer__error");
    this.messages = document.querySelector("chat-messages");
    this.form.addEventListener("submit", (event) => this.#submit(event));
    this.box.addEventListener("keydown", (event) => this.#key(event));
    this.box.addEventListener("input", () => this.#typed());
    document.addEventListener("keydown", (event) => event.key === "Escape" && this.#stop(event));
    document.addEventListener("submit", (event) => event.target.matches("[data-gives-back]") && this.#takeOut(event));
    document.addEventListener("htmx:afterRequest", ({ detail }) => detail.elt.matches("#stop, #queue form") && this.#say(reason(detail)));
    this.#restore();
    this.#keepDrafts();
    this.#grow();
    this.#collect();
    for (const entry of outbox.all()) this.#queue(entry);
  }

  // What is in the box survives a reload, and goes along when the first message turns a new chat into a real one.
  // Where the server has another draft than when this was left, that one is newer: it was typed elsewhere.
  #restore() {
    const { text, kept } = JSON.parse(sessionStorage.getItem(this.#place) ?? "{}");
    if (kept === this.box.defaultValue) this.box.value = text;
    addEventListener("pagehide", () => {
      const { value, defaultValue } = this.box;
      if (value === defaultValue) sessionStorage.removeItem(this.#place);
      else putAside(this.#place, { text: value, kept: defaultValue });
    });
  }

  #keepDrafts() {
    if (this.form.elements.id) return; // there is no chat to keep it in
    const begin = () => import("./drafts.js").then(({ keepDrafts }) => keepDrafts(this.form), () => this.#keepDrafts()); // offline: later
    this.box.addEventListener("input", begin, { once: true });
  }

  get #place() {
    const stillNew = this.form.elements.id && !this.#sentSomething;
    return mine(`draft:${stillNew ? "new" : this.form.dataset.chat}`);
  }

  #typed() {
    this.#grow();
    if (this.box.value.startsWith("/")) import("./slash-menu.js").catch(() => {}); // the first time; then it is there
  }

  #key(event) {
    const composing = event.isComposing || event.keyCode === 229;
    if (event.key !== "Enter" || event.shiftKey || composing || matchMedia("(pointer: coarse)").matches) return;
    event.preventDefault();
    if (!event.repeat) this.form.requestSubmit();
  }

  #stop(event) {
    const stop = document.querySelector("#stop:not([hidden])");
    if (!stop || event.defaultPrevented || document.querySelector("dialog[open], :popover-open")) return;
    stop.requestSubmit();
  }

  #submit(event) {
    event.preventDefault();
    const text = this.box.value;
    if (!text.trim()) return;
    const fields = { text, client_id: this.form.elements.client_id.value };
    if (this.form.elements.id) fields.id = this.form.elements.id.value;
    const entry = { chat: this.form.dataset.chat, place: this.#place, here: location.href, action: this.form.action, fields };
    outbox.add(entry);
    this.#sentSomething = true;
    this.form.elements.client_id.value = uuid();
    this.box.value = "";
    this.#grow();
    this.#say("");
    this.#queue(entry);
  }

  // One at a time, in order; each with its picture in the conversation it belongs to.
  #queue(entry) {
    const picture = entry.chat === this.form.dataset.chat ? this.#picture(entry) : null;
    this.#sending = this.messages.answering = this.#sending.then(() => this.#send(entry, picture));
  }

  #picture(entry) {
    const picture = this.querySelector("#pending-message").content.cloneNode(true).firstElementChild;
    picture.dataset.clientId = entry.fields.client_id;
    picture.querySelector(".message__body").textContent = entry.fields.text;
    this.messages.pend(picture);
    return picture;
  }

  async #send(entry, picture) {
    for (const pause of [...PAUSES, null]) {
      const response = await this.#post(entry).catch(() => null);
      if (response && response.status < 500) return this.#answered(response, entry, picture);
      if (pause) await wait(pause);
    }
    this.#offerAgain(entry, picture);
  }

  #post({ action, fields }) {
    const body = new URLSearchParams({ ...fields, ...this.messages.has });
    body.set("csrfmiddlewaretoken", this.form.elements.csrfmiddlewaretoken.value);
    return fetch(action, { method: "POST", headers: { "HX-Request": "true" }, body });
  }

  async #answered(response, entry, picture) {
    const goTo = response.headers.get("HX-Redirect");
    if (response.ok && !response.redirected) outbox.remove(entry.fields.client_id);
    if (goTo) return this.#goTo(goTo);
    if (response.redirected) return this.#giveBack(SIGNED_OUT, entry, picture);
    const words = await response.text();
    if (response.ok) return this.#taken(words, picture);
    if (response.headers.get("Content-Type")?.startsWith("text/plain")) return this.#giveBack(words, entry, picture);
    if (response.status === 403) return this.#giveBack(STALE, entry, picture);
    this.#giveBack(`Not sent (${response.status}). The chat may be gone; reload the page.`, entry, picture);
  }

  // What was typed since goes along to the chat that this made, and to no other.
  #goTo(address) {
    this.#sentSomething = address.endsWith(this.form.dataset.chat);
    location.assign(address);
  }

  #taken(words, picture) {
    this.#stayNew();
    if (picture) this.messages.merge(words);
  }

  // No chat was made: what is in the box belongs to the empty page as before.
  #stayNew() {
    this.#sentSomething = outbox.all().some((entry) => entry.chat === this.form.dataset.chat);
  }

  // What could not be sent goes back into the box, before what was typed since.
  #giveBack(words, entry, picture) {
    outbox.remove(entry.fields.client_id);
    this.#stayNew();
    picture?.remove();
    if (entry.place !== this.#place && entry.chat !== this.form.dataset.chat) return this.#setAside(words, entry);
    this.#takeBack(entry.fields.text);
    this.#say(words);
  }

  // What was refused while another conversation is shown waits for its own.
  #setAside(words, { place, here, fields: { text } }) {
    refused.keep([...refused.all(), { place, here, text, words }]);
    this.#tellOfOthers();
  }

  #collect() {
    const belongs = ({ place }) => place === this.#place;
    const here = refused.all().filter(belongs);
    const elsewhere = refused.all().filter((entry) => !belongs(entry));
    refused.keep(elsewhere);
    if (elsewhere.length) this.#tellOfOthers();
    for (const { text, words } of here.reverse()) {
      this.#takeBack(text);
      this.#say(words);
    }
  }

  // Said on every page until it is collected where it belongs, or let go.
  #tellOfOthers() {
    const [first] = refused.all();
    this.#say(first ? "A message in another session was not sent. " : "");
    if (!first) return;
    const link = Object.assign(document.createElement("a"), { href: first.here, textContent: "It is in the box there." });
    const letGo = Object.assign(document.createElement("button"), { type: "button", textContent: "Discard it" });
    letGo.onclick = () => {
      refused.keep(refused.all().slice(1));
      this.#tellOfOthers();
    };
    this.error.append(link, " ", letGo);
  }

  // Asked for until it is answered: by then it is in no line any more.
  async #takeOut(event) {
    event.preventDefault();
    const { target: form, submitter } = event;
    const body = new URLSearchParams(new FormData(form, submitter));
    submitter.disabled = true;
    for (const pause of [...PAUSES, null]) {
      const response = await fetch(form.action, { method: "POST", headers: { "HX-Request": "true" }, body }).catch(() => null);
      if (response && response.status < 500 && !response.redirected) {
        if (response.status === 200) this.#takeBack(await response.text());
        return this.messages.sync();
      }
      if (pause) await wait(pause);
    }
    submitter.disabled = false;
    this.#say("No connection. Try again in a moment; what was taken out of the line is in the box when you reload.");
  }

  #takeBack(text) {
    this.box.value = [text, this.box.value].filter(Boolean).join("\n");
    this.box.focus();
    this.box.dispatchEvent(new Event("input", { bubbles: true }));
  }

  #offerAgain(entry, picture) {
    if (!picture) return;
    const again = picture.querySelector("button");
    picture.querySelector(".message__state").textContent = "";
    again.hidden = false;
    again.onclick = () => {
      picture.remove();
      this.#queue(entry);
    };
  }

  #say(words) {
    this.error.textContent = words;
    this.error.hidden = !words;
  }

  #grow() {
    if (CSS.supports("field-sizing", "content")) return;
    this.box.style.height = "auto";
    this.box.style.height = `${this.box.scrollHeight}px`;
  }
}

customElements.define("chat-composer", ChatComposer);
