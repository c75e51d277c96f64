// What can be typed after a slash: the server draws it once per opening, here it is filtered and chosen from.

const WHILE_OPEN = { "aria-haspopup": "listbox", "aria-controls": "commands", "aria-autocomplete": "list" };
const START = /^\/(?!\/)[^\n]*$/;

class SlashMenu extends HTMLElement {
  #list = null; // drawn by the server, or on its way
  #active = null;
  #dismissed = false;

  connectedCallback() {
    const composer = this.closest("chat-composer");
    this.box = composer.querySelector("textarea");
    this.box.addEventListener("input", () => this.#look());
    this.box.addEventListener("blur", () => this.#close());
    this.box.form.addEventListener("submit", () => this.#forget());
    composer.addEventListener("keydown", (event) => this.#key(event), { capture: true }); // before the box sends or stops
    this.addEventListener("mousedown", (event) => event.preventDefault()); // the focus stays in the box
    this.addEventListener("click", (event) => this.#click(event.target.closest("[role=option]")));
    this.#look();
  }

  get #options() {
    return [...this.querySelectorAll("[role=option]")];
  }

  get #shown() {
    return this.#options.filter((option) => !option.hidden);
  }

  // Of what is shown, what would change the text; the rest only says what is being typed.
  get #choices() {
    return this.#shown.filter((option) => this.#completed(option) !== this.box.value);
  }

  #look() {
    if (!START.test(this.box.value)) return this.#forget();
    if (this.#dismissed) return;
    this.#list ??= this.#fetch();
    this.#filter();
  }

  async #fetch() {
    try {
      const response = await fetch(this.dataset.commands, { headers: { "HX-Request": "true" } });
      if (!response.ok || response.redirected) return;
      this.replaceChildren(document.createRange().createContextualFragment(await response.text()));
      if (this.#list && !this.#dismissed) this.#filter();
    } catch {
      this.#list = null; // no network: what is typed can be sent all the same
    }
  }

  #filter() {
    const typed = this.box.value.toLowerCase();
    for (const option of this.#options) option.hidden = !this.#fits(option, typed);
    const [first] = this.#shown;
    if (!first || document.activeElement !== this.box) return this.#close();
    this.#open();
    this.#point(first.dataset.value === undefined && this.#choices.includes(first) ? first : null);
  }

  // A command fits what it begins with, also in its second word; an argument, what it contains.
  #fits({ dataset }, typed) {
    const names = dataset.names.split("|");
    const called = names.find((name) => typed.startsWith(`${name} `));
    if (called && dataset.value !== undefined) return dataset.value.toLowerCase().includes(typed.slice(called.length).trim());
    if (called) return Boolean(dataset.argument) || typed.trimEnd() === called;
    if (dataset.value !== undefined) return false;
    const words = names[0].slice(1).split(" ");
    return names.some((name) => name.startsWith(typed)) || words.some((word) => word.startsWith(typed.slice(1)));
  }

  #completed({ dataset }) {
    const typed = this.box.value.toLowerCase();
    const names = dataset.names.split("|");
    if (dataset.value !== undefined) return `${names.find((name) => typed.startsWith(`${name} `))} ${dataset.value}`;
    if (names.some((name) => typed === name && dataset.argument !== "needed")) return this.box.value;
    if (names.some((name) => typed.startsWith(`${name} `))) return this.box.value;
    const name = names.find((name) => name.startsWith(typed)) ?? names[0];
    return dataset.argument === "needed" ? `${name} ` : name;
  }

  #key(event) {
    const composing = event.isComposing || event.keyCode === 229;
    if (this.hidden || event.target !== this.box || composing) return;
    if (event.shiftKey || event.ctrlKey || event.altKey || event.metaKey) return;
    if (!this.#act(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
  }

  // Whether it did anything; otherwise the key means what it always means.
  #act(key) {
    if (key === "ArrowDown") return this.#move(1);
    if (key === "ArrowUp") return this.#move(-1);
    if (key === "Escape") return this.#dismiss();
    if (key === "Enter") return this.#choose(this.#active);
    return key === "Tab" && this.#choose(this.#active ?? this.#choices[0]);
  }

  #move(step) {
    const choices = this.#choices;
    const at = choices.indexOf(this.#active);
    const next = at < 0 ? Math.min(step, 0) : at + step;
    this.#point(choices.at(next % choices.length));
    return choices.length > 0;
  }

  #dismiss() {
    this.#dismissed = true;
    this.#close();
    return true;
  }

  #choose(option) {
    const text = option && this.#completed(option);
    if (!option || text === this.box.value) return false;
    this.box.value = text;
    this.box.dispatchEvent(new Event("input", { bubbles: true }));
    return true;
  }

  #click(option) {
    if (option && !this.#choose(option) && option.dataset.argument !== "needed") this.box.form.requestSubmit();
  }

  #point(option) {
    this.#active = option;
    for (const other of this.#options) other.setAttribute("aria-selected", other === option);
    if (option) option.scrollIntoView({ block: "nearest" });
    if (option) this.box.setAttribute("aria-activedescendant", option.id);
    else this.box.removeAttribute("aria-activedescendant");
  }

  // A box of several lines may not be a combobox, so that it opened is announced in words.
  #open() {
    if (!this.hidden) return;
    this.hidden = false;
    for (const [name, value] of Object.entries(WHILE_OPEN)) this.box.setAttribute(name, value);
    document.getElementById("announcer").textContent = "Commands are listed above. Arrows choose, Tab completes.";
  }

  #close() {
    this.hidden = true;
    this.#active = null;
    for (const name of [...Object.keys(WHILE_OPEN), "aria-activedescendant"]) this.box.removeAttribute(name);
  }

  // The next slash is a new opening: what applies may have changed.
  #forget() {
    this.#close();
    this.#list = null;
    this.#dismissed = false;
  }
}

customElements.define("slash-menu", SlashMenu);
