// The search: the first hit is a press of Enter away, arrows walk through the others, typing goes on in the field.

class SessionSearch extends HTMLElement {
  connectedCallback() {
    this.dialog = this.querySelector("dialog");
    this.field = this.querySelector("input");
    this.addEventListener("keydown", (event) => this.#key(event));
    this.addEventListener("submit", (event) => this.#enter(event));
    this.addEventListener("input", () => (this.entered = false));
    this.addEventListener("htmx:afterSwap", () => this.entered && this.#hits[0]?.click());
    this.addEventListener("click", ({ target }) => {
      if (target.closest(".hit, .search__close") || target === this.dialog) this.dialog.close();
    });
    this.dialog.addEventListener("close", () => (this.entered = false));
  }

  get #hits() {
    return [...this.querySelectorAll(".hit")];
  }

  // What is shown may be the answer to fewer letters: asked for again, the first of it is opened.
  #enter(event) {
    event.preventDefault();
    this.entered = true;
    event.target.dispatchEvent(new Event("opened"));
  }

  #key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) return this.#walk(event, step);
    const typed = event.key.length === 1 || event.key === "Backspace";
    if (typed && !event.ctrlKey && !event.metaKey && document.activeElement.matches(".hit")) this.field.focus();
  }

  // The field is one of the stops.
  #walk(event, step) {
    event.preventDefault();
    const stops = [this.field, ...this.#hits];
    stops.at((stops.indexOf(document.activeElement) + step) % stops.length).focus();
  }
}

customElements.define("session-search", SessionSearch);
