// The conversation: places what the server rendered, and lets live text grow between two renderings.

import { NO_CONNECTION, Updates, bring, live } from "./socket.js";

const NEAR_END = 80; // px
const ANSWER = 1_000; // ms
const RUNNING = ["waiting", "streaming"];
const RUNNING_NOW = `:scope > .message:is(${RUNNING.map((state) => `[data-state=${state}]`)})`;
const SENDING = ".message[data-state=sending]";

const wait = (ms) => new Promise((done) => setTimeout(done, ms));

function rendered(html) {
  return document.createRange().createContextualFragment(html);
}

// Later, because this page may be the one that signed out or deleted: where it is going must not be broken off.
function lookAgain() {
  setTimeout(() => location.reload(), 1000);
}

function listChanged() {
  document.body.dispatchEvent(new Event("list-changed"));
}

class ChatMessages extends HTMLElement {
  #pinned = true;

  connectedCallback() {
    this.#stand() || this.#scroll();
    addEventListener("hashchange", () => this.#stand());
    this.addEventListener("scroll", () => this.#look(), { passive: true });
    this.addEventListener("click", (event) => this.#turn(event));
    new ResizeObserver(() => this.#pinned && this.#scroll()).observe(this);
    live.addEventListener("open", () => this.subscribe());
    live.addEventListener("list", listChanged);
    live.addEventListener("signed-out", lookAgain);
    if (!this.dataset.chat) return;
    live.addEventListener("begun", ({ detail }) => (detail.thinking ? this.#think(detail.message) : this.#begin(detail.message)));
    live.addEventListener("delta", ({ detail }) => this.#grow(detail));
    live.addEventListener("block", ({ detail }) => this.#reply(detail.message)?.settle(detail) === false && this.subscribe());
    for (const news of ["rev", "end"]) live.addEventListener(news, ({ detail }) => this.#hear(detail.rev));
    live.addEventListener("gone", lookAgain);
    document.addEventListener("htmx:afterRequest", ({ detail }) => detail.requestConfig.verb === "post" && this.sync());
    document.addEventListener("visibilitychange", () => this.#markRead());
    this.updates = new Updates(() => this.#ask(), (response) => this.#answered(response));
    this.#markRead();
    this.#reopen();
  }

  subscribe() {
    const { chat, rev, list } = this.dataset;
    const running = this.querySelector("live-reply");
    const message = running ? Number(running.closest(".message").id.split("-")[1]) : 0;
    live.say({ type: "sub", chat: chat ?? "", rev: Number(rev ?? 0), list: Number(list), message, after: running?.seq ?? 0 });
  }

  // The place up to which this page has everything for good.
  get after() {
    const places = [...this.querySelectorAll(":scope > .message[data-seq], :scope > .chapter > .message[data-seq]")];
    const open = places.find((message) => RUNNING.includes(message.dataset.state));
    return open ? Number(open.dataset.seq) - 1 : Number(places.at(-1)?.dataset.seq || 0);
  }

  // What this page need not be sent: the conversation up to a place, and the header where it shows the same.
  get has() {
    return { after: this.after, face: document.getElementById("chat-header").dataset.face ?? "" };
  }

  // What this page sends is answered with what came of it, so news of that is old when it is answered.
  async #hear(rev) {
    await Promise.race([this.answering, wait(ANSWER)]);
    if (rev > Number(this.dataset.rev)) this.sync();
  }

  // Fetch what changed.
  sync() {
    return this.updates.fetch();
  }

  #ask() {
    return fetch(`${this.dataset.updates}?${new URLSearchParams(this.has)}`, { headers: { "HX-Request": "true" } });
  }

  async #answered(response) {
    if (response.redirected || response.status === 404) return lookAgain();
    if (!response.ok) throw new Error(response.status);
    this.merge(await response.text());
    if (!this.missed) return;
    this.missed = false;
    this.subscribe();
  }

  merge(html) {
    if (this.dataset.newest) return location.assign(this.dataset.newest); // this page looks back
    const fragment = rendered(html);
    this.querySelector(".newer")?.remove(); // here they are
    for (const element of [...fragment.children]) {
      if (element.matches(".message")) this.#place(element);
      else if (element.matches("meta[name=rev]")) this.#standing(element);
      else this.#replace(element);
    }
    if (this.#pinned) this.#scroll();
    this.#markRead();
  }

  // Where no socket tells that the list changed, the chat's own news do.
  #standing(meta) {
    if (!live.up && meta.content !== this.dataset.rev) listChanged();
    this.dataset.rev = meta.content;
    if (meta.dataset.chapter !== this.dataset.chapter) location.reload(); // the fold is the server's to draw
  }

  pend(element) {
    for (const past of this.querySelectorAll(".past")) past.remove();
    for (const id of ["empty", "new-chapter"]) document.getElementById(id)?.remove();
    this.#seat(element);
    this.#pinned = true;
    this.#scroll();
    const line = document.querySelector("#queue > .queue__items");
    if (line) line.scrollTop = line.scrollHeight;
  }

  // What is on its way stands below what waits for the reply, because it will be asked after that.
  #seat(element) {
    const line = this.querySelector(RUNNING_NOW) && document.querySelector("#queue:not([hidden]) > .queue__items");
    (line ?? this).append(element);
  }

  #place(element) {
    document.getElementById("empty")?.remove();
    this.#arrived(element);
    this.#replaced(element);
    const present = document.getElementById(element.id);
    if (present && !this.#newer(element, present)) return this.#renew(element, present);
    if (present) present.replaceWith(element);
    else this.#insert(element);
    htmx.process(element);
    this.#outdate(element);
    this.#announce(element, present);
    this.#begin(this.begun);
  }

  // What this is a newer version of goes: of a reply those before it, of a question all that followed too.
  #replaced(element) {
    const { role, seq, replaces } = element.dataset;
    for (const message of replaces ? this.querySelectorAll(":scope > .message[data-seq]") : []) {
      const place = Number(message.dataset.seq);
      const same = role === "user" || message.dataset.role === role;
      if (same && message.dataset.seq && place >= Number(replaces) && place < Number(seq)) message.remove();
    }
  }

  // What this offers, or says done, is offered by no notice before it any more.
  #outdate({ id, dataset: { settles } }) {
    if (!settles) return;
    for (const before of this.querySelectorAll(`[data-settles=${settles}]:not(#${id}) .offers`)) before.remove();
  }

  // A rendering made before text that is on the page already does not take its place.
  #newer(element, present) {
    const [next, now] = [element, present].map((message) => message.querySelector("live-reply"));
    if (!RUNNING.includes(element.dataset.state)) return true;
    if (!RUNNING.includes(present.dataset.state)) return false;
    return Number(next?.dataset.seq ?? 0) >= (now?.seq ?? 0) && element.dataset.state !== present.dataset.state;
  }

  // The text that came since, where no socket brings it.
  #renew(element, present) {
    if (!live.up) present.querySelector("live-reply")?.renew(element.querySelector("live-reply"));
  }

  #insert(element) {
    const seq = Number(element.dataset.seq);
    const later = [...this.querySelectorAll(":scope > .message")].find(({ dataset }) => !dataset.seq || Number(dataset.seq) > seq);
    this.insertBefore(element, later ?? null);
  }

  #replace(element) {
    for (const item of element.querySelectorAll("[data-client-id]")) this.#arrived(item);
    const present = document.getElementById(element.id);
    const focused = present?.contains(document.activeElement) && document.activeElement;
    if (!present || present.querySelector(":popover-open, rename-title[data-open]") || focused?.matches?.("input, textarea")) return; // in use
    const place = [...present.querySelectorAll("button")].indexOf(focused);
    const read = present.querySelector(".queue__items")?.scrollTop;
    present.replaceWith(element);
    if (element.id === "queue") this.#lineUp(present, element, read);
    htmx.process(element);
    if (element.dataset.placeholder) document.querySelector("#composer textarea").placeholder = element.dataset.placeholder;
    if (focused) this.#refocus(element.querySelectorAll("button")[place]);
  }

  // What waits is read on from where it was, and what is on its way finds its place anew.
  #lineUp(before, now, read) {
    for (const element of [...this.querySelectorAll(SENDING), ...before.querySelectorAll(SENDING)]) this.#seat(element);
    now.querySelector(".queue__items").scrollTop = read;
  }

  // Its picture, which was on its way, is not needed any more.
  #arrived({ dataset: { clientId } }) {
    if (clientId) document.querySelector(`${SENDING}[data-client-id="${clientId}"]`)?.remove();
  }

  // The focus goes to the button in the same place, and where that is gone, to the message box.
  #refocus(button) {
    button?.focus();
    if (document.activeElement !== button) document.querySelector("#composer textarea").focus();
  }

  #reply(message) {
    return this.querySelector(`#message-${message} > .message__body live-reply`);
  }

  // What is rendered before it begins may come after that was said.
  #begin(message) {
    this.begun = message;
    this.#reply(message)?.begin();
  }

  // There are words that are no part of the answer.
  #think(message) {
    this.#begin(message);
    this.#reply(message)?.think();
  }

  #grow(frame) {
    const reply = this.#reply(frame.message);
    if (!reply) return this.#learnOf();
    if (!reply.take(frame)) return this.subscribe();
    this.#begin(frame.message);
    if (this.#pinned) this.#scroll();
  }

  // A reply that is not on the page yet: what was said of it is asked for when it is.
  #learnOf() {
    if (!this.missed) this.sync();
    this.missed = true;
  }

  // The start and the end of a reply are said once each, never the text in between.
  #announce(element, present) {
    const { role, state } = element.dataset;
    const stage = (name) => (RUNNING.includes(name) ? "running" : name);
    if (role !== "assistant" || stage(present?.dataset.state) === stage(state)) return;
    const words = { running: "The assistant is answering.", done: "The reply is complete.", stopped: "The reply was stopped." };
    document.getElementById("announcer").textContent = words[stage(state)] ?? "The reply failed.";
  }

  // Looking back at a version and editing happen in place; the file for it comes with the first time.
  #turn(event) {
    const link = event.target.closest("a[data-way]");
    if (!link || !this.dataset.chat || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const elsewhere = (error) => (error instanceof TypeError ? this.#say(NO_CONNECTION) : location.assign(link.href));
    bring("versions").then(({ follow }) => follow(link)).then(() => this.#say(""), elsewhere);
  }

  #say(words) {
    document.querySelector("chat-composer").say(words);
  }

  #look() {
    this.#pinned = this.scrollHeight - this.scrollTop - this.clientHeight < NEAR_END;
    document.querySelector("jump-to-latest").hidden = this.#pinned;
  }

  #scroll() {
    this.scrollTop = this.scrollHeight;
  }

  // At what was searched for, wherever it is folded away; false when the address names nothing here.
  #stand() {
    const hit = location.hash.startsWith("#message-") && document.getElementById(location.hash.slice(1));
    if (!hit || !this.contains(hit)) return false;
    for (let fold = hit.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
    this.#pinned = false;
    hit.scrollIntoView({ block: "center" });
    return true;
  }

  // What was being said in other words when the page was left.
  #reopen() {
    if (!Object.keys(sessionStorage).some((name) => name.startsWith("edit:"))) return;
    bring("versions").then(({ reopen }) => reopen(this)).catch(() => {}); // it is there when Edit is pressed
  }

  latest() {
    const newer = this.querySelector("a.newer");
    if (newer) return newer.click();
    this.#pinned = true;
    this.#scroll();
  }

  #markRead() {
    const last = this.after;
    if (!this.dataset.read || document.hidden || last <= Number(this.dataset.seen || 0)) return;
    this.dataset.seen = last;
    const token = document.querySelector("#composer [name=csrfmiddlewaretoken]").value;
    fetch(this.dataset.read, { method: "POST", headers: { "X-CSRFToken": token }, body: new URLSearchParams({ seq: last }) }).catch(() => {});
  }
}

customElements.define("chat-messages", ChatMessages);
