// The conversation: places what the server rendered, and lets live text grow between two renderings.

import { live } from "./socket.js";

const NEAR_END = 80; // px
const POLL = 2_000; // ms, when the socket does not come up
const ANSWER = 1_000; // ms
const FIRST_PAUSE = 1_000; // ms, before what could not be fetched is asked for again
const LONGEST_PAUSE = 30_000;
const RUNNING = ["waiting", "streaming"];

const wait = (ms) => new Promise((done) => setTimeout(done, ms));

function rendered(html) {
  return document.createRange().createContextualFragment(html);
}

// Later, because this page may be the one that signed out or deleted: where it is going must not be broken off.
function lookAgain() {
  setTimeout(() => location.reload(), 1000);
}

class LiveReply extends HTMLElement {
  connectedCallback() {
    this.seq = Number(this.dataset.seq);
    this.upto = Number(this.dataset.upto);
    this.blocks = this.querySelector("[data-part=blocks]");
    const tail = this.querySelector("[data-part=tail]");
    this.tail = tail.firstChild ?? tail.appendChild(new Text());
  }

  // False when something is missing before this piece.
  take({ after, seq, text }) {
    if (after === 0 && this.seq > 0) this.#startOver();
    if (after !== this.seq) return seq <= this.seq;
    this.seq = seq;
    this.tail.appendData(text);
    return true;
  }

  // Rendered blocks take the place of their raw text; a start of 0 means all of them.
  settle({ start, upto, html }) {
    if (upto <= this.upto || upto > this.upto + this.tail.length) return true;
    if (start !== 0 && start !== this.upto) return false;
    if (start === 0) this.blocks.replaceChildren();
    this.blocks.append(rendered(html));
    this.tail.deleteData(0, upto - this.upto);
    this.upto = upto;
    return true;
  }

  #startOver() {
    this.blocks.replaceChildren();
    this.tail.data = "";
    this.seq = this.upto = 0;
  }
}

class ChatMessages extends HTMLElement {
  #pinned = true;
  #syncing = false;
  #again = false;
  #misses = 0;

  connectedCallback() {
    this.#stand() || this.#scroll();
    addEventListener("hashchange", () => this.#stand());
    this.addEventListener("scroll", () => this.#look(), { passive: true });
    this.addEventListener("click", (event) => this.#turn(event));
    new ResizeObserver(() => this.#pinned && this.#scroll()).observe(this);
    live.addEventListener("open", () => this.subscribe());
    live.addEventListener("list", () => document.body.dispatchEvent(new Event("list-changed")));
    live.addEventListener("signed-out", lookAgain);
    if (!this.dataset.chat) return;
    live.addEventListener("begun", ({ detail }) => (detail.thinking ? this.#think(detail.message) : this.#begin(detail.message)));
    live.addEventListener("delta", ({ detail }) => this.#grow(detail));
    live.addEventListener("block", ({ detail }) => this.#reply(detail.message)?.settle(detail) === false && this.subscribe());
    for (const news of ["rev", "end"]) live.addEventListener(news, ({ detail }) => this.#hear(detail.rev));
    live.addEventListener("gone", lookAgain);
    document.addEventListener("htmx:afterRequest", ({ detail }) => detail.requestConfig.verb === "post" && this.sync());
    document.addEventListener("visibilitychange", () => this.#markRead());
    setInterval(() => live.failures > 2 && this.sync(), POLL);
    this.#markRead();
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

  // Fetch what changed; asked for again meanwhile, once more.
  async sync() {
    if (this.#syncing) return void (this.#again = true);
    this.#syncing = true;
    try {
      const response = await fetch(`${this.dataset.updates}?${new URLSearchParams(this.has)}`, { headers: { "HX-Request": "true" } });
      if (response.redirected || response.status === 404) return lookAgain();
      if (!response.ok) throw new Error(response.status);
      this.merge(await response.text());
      this.#misses = 0;
    } catch {
      this.#again = false;
      this.#later(); // the socket does not tell the same news twice
    } finally {
      this.#syncing = false;
      if (this.#again) {
        this.#again = false;
        this.sync();
      }
    }
  }

  #later() {
    const pause = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** this.#misses++);
    clearTimeout(this.retry);
    this.retry = setTimeout(() => this.sync(), pause * (0.5 + Math.random() / 2));
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

  #standing(meta) {
    this.dataset.rev = meta.content;
    if (meta.dataset.chapter !== this.dataset.chapter) location.reload(); // the fold is the server's to draw
  }

  pend(element) {
    for (const past of this.querySelectorAll(".past")) past.remove();
    for (const id of ["empty", "new-chapter"]) document.getElementById(id)?.remove();
    this.append(element);
    this.#pinned = true;
    this.#scroll();
  }

  #place(element) {
    document.getElementById("empty")?.remove();
    if (element.dataset.clientId) this.querySelector(`[data-state=sending][data-client-id="${element.dataset.clientId}"]`)?.remove();
    this.#replaced(element);
    const present = document.getElementById(element.id);
    if (present && !this.#newer(element, present)) return;
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

  #insert(element) {
    const seq = Number(element.dataset.seq);
    const later = [...this.querySelectorAll(":scope > .message")].find(({ dataset }) => !dataset.seq || Number(dataset.seq) > seq);
    this.insertBefore(element, later ?? null);
  }

  #replace(element) {
    for (const item of element.querySelectorAll("[data-client-id]")) {
      this.querySelector(`[data-state=sending][data-client-id="${item.dataset.clientId}"]`)?.remove();
    }
    const present = document.getElementById(element.id);
    const focused = present?.contains(document.activeElement) && document.activeElement;
    if (!present || present.querySelector(":popover-open, rename-title[data-open]") || focused?.matches?.("input, textarea")) return; // in use
    const place = [...present.querySelectorAll("button")].indexOf(focused);
    present.replaceWith(element);
    htmx.process(element);
    if (element.dataset.placeholder) document.querySelector("#composer textarea").placeholder = element.dataset.placeholder;
    if (focused) this.#refocus(element.querySelectorAll("button")[place]);
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
    const reply = this.#reply(message)?.closest(".message");
    if (reply?.dataset.state !== "waiting") return;
    reply.dataset.state = "streaming";
    reply.querySelector("elapsed-time").say("the agent is working");
  }

  // There are words that are no part of the answer.
  #think(message) {
    this.#begin(message);
    const reply = this.#reply(message);
    if (reply?.seq === 0) this.#wait(reply, "thinking");
  }

  #wait(reply, words) {
    reply.closest(".message").querySelector("elapsed-time")?.say(words);
  }

  #grow(frame) {
    const reply = this.#reply(frame.message);
    if (!reply) return this.sync().then(() => this.subscribe());
    if (!reply.take(frame)) return this.subscribe();
    this.#begin(frame.message);
    if (frame.after === 0) this.#wait(reply, "the agent is working");
    if (this.#pinned) this.#scroll();
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
    import("./versions.js").then(({ follow }) => follow(link)).catch(() => location.assign(link.href));
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

customElements.define("live-reply", LiveReply);
customElements.define("chat-messages", ChatMessages);
