// The message box: Enter sends, and what was sent stays in an outbox until the server has it.

import { mine, outbox, putAside, refused, unsent, uuid } from "./outbox.js";
import { NO_CONNECTION, bring, live, reason } from "./socket.js";

const MOST_TOLD = 10_000; // characters of a draft that became a message; a form holds little more than that
const PAUSES = [1, 2, 4, 8, 15]; // seconds before each further attempt; the last again and again
const STILL_MEANT = 30_000; // ms, that Stop waits for the reply to what is being sent
const LONG = 5_000; // ms, after which an answer is not to be expected over a connection that was lost since
const PATIENCE = 60_000; // ms, for an answer
const AWAY = [502, 503, 504];
const SIGNED_OUT = "You are signed out. Reload this page to sign in; your text stays here.";
const STALE = "This page is too old to send from. Reload it; your text stays here.";

const waiting = () => document.querySelectorAll(".queue__item").length;
const wait = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

class ChatComposer extends HTMLElement {
  #sending = Promise.resolve();
  #sentSomething = false;
  #typedHere = false;
  #stopWanted = {}; // the reply to which message, and since when

  connectedCallback() {
    this.form = this.querySelector("form");
    this.box = this.form.elements.text;
    this.error = this.querySelector(".composer__error");
    this.messages = document.querySelector("chat-messages");
    this.form.addEventListener("submit", (event) => this.#submit(event));
    this.box.addEventListener("keydown", (event) => this.#key(event));
    this.box.addEventListener("input", () => this.#typed());
    for (const button of document.querySelectorAll("#stop button, #queue button")) button.removeAttribute("form"); // for no script
    document.addEventListener("keydown", (event) => event.key === "Escape" && this.#stop(event));
    document.addEventListener("submit", (event) => event.target.matches("[data-gives-back]") && this.#takeOut(event));
    document.addEventListener("submit", (event) => event.target.matches("[action$='/logout/']") && this.#signOut(event));
    document.addEventListener("htmx:beforeRequest", ({ detail }) => this.#awaitAnswer(detail.elt));
    for (const [place, sign] of [[live, "up"], [window, "online"]]) place.addEventListener(sign, () => this.#connected());
    new MutationObserver(() => waiting() < this.waited && this.say("")).observe(this.closest("main"), { childList: true });
    this.#resume();
    this.#restore();
    this.#grow();
    this.#seeToRefused();
    for (const entry of outbox.all()) this.#queue(entry);
  }

  // A reload of the empty page is no reason for another chat than the one its first message makes.
  #resume() {
    const { chat } = history.state ?? {};
    if (!this.form.elements.id || !outbox.all().some((entry) => entry.chat === chat)) return;
    this.form.dataset.chat = this.form.elements.id.value = chat;
    this.#sentSomething = true;
  }

  // What is in the box survives a reload, and goes along when the first message turns a new chat into a real one.
  // Where the server has another draft than when this was left, that one is newer: it was typed elsewhere. But what was
  // typed in this very tab is not lost to another's by a reload, nor to none at all.
  #restore() {
    const { text, kept, cameBack } = JSON.parse(sessionStorage.getItem(this.place) ?? "{}");
    const { defaultValue } = this.box;
    const reloaded = performance.getEntriesByType("navigation")[0]?.type === "reload";
    const lost = text && !defaultValue.includes(text) && !this.isSaid(text);
    if (kept === defaultValue || ((reloaded || !defaultValue) && lost)) {
      this.box.value = text;
      this.cameBack = cameBack;
      this.#typedHere = true;
    }
    if (this.box.value !== defaultValue) this.#keepDraft();
    addEventListener("pagehide", () => this.#leave());
  }

  isSaid(text) {
    const said = document.querySelectorAll("#messages [data-role=user] > .message__body, #queue .queue__text");
    return [...said].some((body) => body.textContent === text);
  }

  #leave() {
    const { value, defaultValue } = this.box;
    const stays = value !== defaultValue || (value && this.#typedHere);
    if (stays && !this.signingOut) putAside(this.place, { text: value, kept: defaultValue, cameBack: this.cameBack });
    else sessionStorage.removeItem(this.place);
  }

  // From the first word on.
  #keepDraft() {
    if (this.form.elements.id) return; // there is no chat to keep it in
    this.drafts ??= bring("drafts").then(({ keepDrafts }) => keepDrafts(this.form), () => (this.drafts = null)); // offline: later
  }

  // Where there is something to lose by it.
  #signOut(event) {
    const { value, defaultValue } = this.box;
    this.signingOut = true;
    if (value === defaultValue && !unsent()) return;
    event.preventDefault();
    bring("signing-out").then(({ signOut }) => signOut(event.target, this, unsent()), () => event.target.submit());
  }

  get place() {
    const stillNew = this.form.elements.id && !this.#sentSomething;
    return mine(`draft:${stillNew ? "new" : this.form.dataset.chat}`);
  }

  #typed() {
    this.#grow();
    this.say("");
    this.#typedHere = true;
    this.#keepDraft();
    if (this.box.value.startsWith("/")) bring("slash-menu").catch(() => {}); // the first time; then it is there
  }

  #key(event) {
    const composing = event.isComposing || event.keyCode === 229;
    if (event.key !== "Enter" || event.shiftKey || composing || matchMedia("(pointer: coarse)").matches) return;
    event.preventDefault();
    if (!event.repeat) this.form.requestSubmit();
  }

  // Also the reply to what is being sent just now.
  #stop(event) {
    if (event?.defaultPrevented || document.querySelector("dialog[open], :popover-open")) return;
    const stop = document.querySelector("#stop:not([hidden])");
    if (stop) stop.requestSubmit(stop.querySelector("button"));
    else this.#stopWanted = { id: this.#onItsWay.at(-1)?.fields.client_id, since: performance.now() };
  }

  #isToStop({ fields: { client_id } }) {
    const { id, since } = this.#stopWanted;
    return id === client_id && performance.now() - since < STILL_MEANT;
  }

  #submit(event) {
    event.preventDefault();
    const text = this.box.value;
    if (!text.trim()) return;
    const fields = { text, draft: this.box.defaultValue.slice(0, MOST_TOLD), client_id: this.form.elements.client_id.value };
    if (this.form.elements.id) fields.id = this.form.elements.id.value;
    if (fields.id) history.replaceState({ chat: fields.id }, "");
    const entry = { chat: this.form.dataset.chat, place: this.place, here: location.href, action: this.form.action, fields };
    outbox.add(entry);
    sessionStorage.removeItem(this.place);
    this.#sentSomething = true;
    this.form.elements.client_id.value = uuid();
    this.box.value = "";
    this.#grow();
    this.say("");
    this.#keepDraft();
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

  // Until it is answered: what comes after it waits, so that nothing overtakes it. An error of the server's own is no
  // connection that will come back.
  async #send(entry, picture) {
    for (let attempt = 0; ; attempt += 1) {
      const answer = await this.#post(entry).catch(() => null);
      const late = attempt >= PAUSES.length;
      if (answer && (answer.status < 500 || (late && !AWAY.includes(answer.status)))) return this.#answered(answer, entry, picture);
      if (picture) this.#offerAgain(picture, late);
      await Promise.race([wait(PAUSES[attempt] ?? PAUSES.at(-1)), new Promise((resolve) => (this.again = resolve))]);
    }
  }

  // Without the rest of the pause, and without what hangs in a connection that may be gone.
  #connected() {
    if (this.error.textContent.startsWith("No connection.")) this.say("");
    this.again?.();
    if (performance.now() - this.postedAt > LONG) this.posting.abort();
  }

  // To be given up and done again at any time: the server knows the message by its id.
  async #post({ action, fields }) {
    const body = new URLSearchParams({ ...fields, ...this.messages.has });
    body.set("csrfmiddlewaretoken", this.form.elements.csrfmiddlewaretoken.value);
    const posting = (this.posting = new AbortController());
    this.postedAt = performance.now();
    const timer = setTimeout(() => posting.abort(), PATIENCE);
    const response = await fetch(action, { method: "POST", headers: { "HX-Request": "true" }, body, signal: posting.signal });
    const { status, ok, redirected, headers } = response;
    const words = await response.text();
    clearTimeout(timer);
    return { status, ok, redirected, headers, words };
  }

  #answered({ status, ok, redirected, headers, words }, entry, picture) {
    if (ok && !redirected) this.#accepted(entry);
    const goTo = headers.get("HX-Redirect");
    if (goTo) return entry.chat === this.form.dataset.chat && this.#goTo(goTo, entry);
    if (redirected) return this.#giveBack(SIGNED_OUT, entry, picture);
    if (ok) return picture && this.#show(words, entry);
    if (headers.get("Content-Type")?.startsWith("text/plain")) return this.#giveBack(words, entry, picture);
    if (status === 403) return this.#giveBack(STALE, entry, picture);
    this.#giveBack(`Not sent (${status}). The chat may be gone; reload the page.`, entry, picture);
  }

  #show(words, entry) {
    this.messages.merge(words);
    if (this.#isToStop(entry)) this.#stop();
  }

  // The server lets go of the draft that this was; what was typed meanwhile is kept anew, also where it is the same.
  #accepted({ chat, fields: { client_id, text, draft } }) {
    outbox.remove(client_id);
    this.#stayNew();
    if (chat !== this.form.dataset.chat || ![text, draft].includes(this.box.defaultValue)) return;
    this.box.defaultValue = "";
    this.form.dispatchEvent(new Event("accepted"));
  }

  // What was typed since goes along to the chat that this made, and to no other.
  async #goTo(address, entry) {
    this.#sentSomething = address.endsWith(this.form.dataset.chat);
    if (entry.fields.id && this.#isToStop(entry)) await this.#post({ action: `${entry.action}${entry.chat}/stop/`, fields: {} }).catch(() => {});
    location.assign(address);
  }

  // No chat was made: what is in the box belongs to the empty page as before.
  #stayNew() {
    this.#sentSomething = this.#onItsWay.length > 0;
  }

  get #onItsWay() {
    return outbox.all().filter((entry) => entry.chat === this.form.dataset.chat);
  }

  // What could not be sent goes back into the box of its conversation.
  #giveBack(words, { fields: { client_id, text }, place, chat, here }, picture) {
    outbox.remove(client_id);
    this.#stayNew();
    picture?.remove();
    refused.keep([...refused.all(), { place, chat, here, text, words }]);
    this.#seeToRefused();
  }

  #seeToRefused() {
    const later = () => wait(PAUSES.at(-1)).then(() => this.#seeToRefused()); // offline
    if (refused.all().length) bring("giving-back").then(({ seeTo }) => seeTo(refused, this), later);
  }

  // On itself: news of what it did may take it out of the page before its answer comes.
  #awaitAnswer(form) {
    const answered = ({ detail }) => this.say(reason(detail));
    if (form.matches("#stop, #queue form")) form.addEventListener("htmx:afterRequest", answered, { once: true });
  }

  #takeOut(event) {
    event.preventDefault();
    bring("taking-out").then(({ takeOut }) => takeOut(event, this), () => this.say(NO_CONNECTION));
  }

  #offerAgain(picture, offered) {
    const again = picture.querySelector("button");
    picture.querySelector(".message__state").textContent = offered ? "" : "Sending…";
    again.hidden = !offered;
    again.onclick = () => {
      this.#offerAgain(picture, false);
      this.again?.();
    };
  }

  // Over with the next word or message, or when fewer wait; but what leads elsewhere is still to be seen to.
  say(words) {
    if (!words && this.error.querySelector("a")) return;
    this.waited = waiting();
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
