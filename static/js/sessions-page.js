// The sessions page: follows what changes elsewhere, and keeps what is selected while it does.

import { live } from "./socket.js";

class SessionsTable extends HTMLElement {
  #selected = new Set();

  connectedCallback() {
    this.filter = document.getElementById("filter");
    live.addEventListener("open", () => live.say({ type: "sub", chat: "", rev: 0, list: Number(this.dataset.list), message: 0, after: 0 }));
    live.addEventListener("list", ({ detail }) => this.#changed(detail.rev));
    live.addEventListener("signed-out", () => setTimeout(() => location.reload(), 1000));
    if (!this.filter) return;
    this.addEventListener("change", ({ target }) => target.type === "checkbox" && this.#tick(target));
    this.addEventListener("reset", () => setTimeout(() => this.#select([])));
    this.addEventListener("keydown", (event) => event.key === "Escape" && this.#selected.size && this.#select([]));
    this.addEventListener("htmx:configRequest", ({ target, detail }) => this.#ask(target, detail));
    this.addEventListener("htmx:afterSwap", ({ target }) => target.id === "found" && this.#found());
    document.addEventListener("htmx:afterRequest", ({ detail }) => detail.requestConfig.verb === "post" && this.#answered(detail));
    this.#select(this.#ticks.filter((tick) => tick.checked).map((tick) => tick.value)); // as the browser restored it
    addEventListener("load", () => this.#typedEarly());
  }

  #typedEarly() {
    const { q } = this.filter.elements;
    if (q.value !== q.defaultValue) this.filter.requestSubmit();
  }

  get #ticks() {
    return [...this.querySelectorAll("[name=ids]")];
  }

  #changed(rev) {
    this.dataset.list = rev;
    document.body.dispatchEvent(new Event("list-changed"));
    this.filter?.dispatchEvent(new Event("refresh"));
  }

  // What is looked for begins on the first page; what is only looked at again stays where it is.
  #ask(target, { triggeringEvent, parameters }) {
    if (target === this.filter && triggeringEvent?.type === "refresh") parameters.page = document.getElementById("found").dataset.page;
  }

  #answered({ successful, xhr, elt }) {
    const error = document.getElementById("sessions-error");
    const told = elt.closest("says-why"); // a menu says it itself
    const plain = xhr.getResponseHeader("Content-Type")?.startsWith("text/plain");
    error.hidden = successful || Boolean(told);
    error.textContent = error.hidden ? "" : plain ? xhr.responseText : "That did not work. Reload the page and try again.";
    this.filter.dispatchEvent(new Event("refresh"));
  }

  #found() {
    const { back } = document.getElementById("found").dataset;
    history.replaceState(null, "", back);
    for (const field of this.querySelectorAll("#bulk [name=next], #row-menu-form [name=next]")) field.value = back;
    this.#select(this.#selected);
  }

  #tick(tick) {
    if (tick.id === "tick-all") return this.#select(tick.checked ? this.#ticks.map(({ value }) => value) : []);
    this.#select(this.#ticks.filter(({ checked }) => checked).map(({ value }) => value));
  }

  // Only what is on the page: nothing is done to a session that nobody sees.
  #select(wanted) {
    const ids = new Set(wanted);
    for (const tick of this.#ticks) tick.checked = ids.has(tick.value);
    this.#selected = new Set(this.#ticks.filter(({ checked }) => checked).map(({ value }) => value));
    const all = document.getElementById("tick-all");
    if (all) all.checked = this.#selected.size === this.#ticks.length;
    if (all) all.indeterminate = this.#selected.size > 0 && !all.checked;
    document.getElementById("bulk-count").textContent = this.#selected.size ? `${this.#selected.size} selected` : "";
  }
}

// A file that is too large is not worth sending.
class SizeLimit extends HTMLElement {
  connectedCallback() {
    const most = Number(this.dataset.most);
    this.addEventListener("change", ({ target }) => {
      const large = target.files[0]?.size > most;
      target.setCustomValidity(large ? `The file is larger than ${most / 1_000_000} MB. Export fewer sessions at once.` : "");
      target.reportValidity();
    });
  }
}

customElements.define("sessions-table", SessionsTable);
customElements.define("size-limit", SizeLimit);
