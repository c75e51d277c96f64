// What is done with a session without leaving the page: the menus' forms, and the title renamed in place.

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

// Why an action was refused, in the server's words; nothing when it was done.
export function reason({ successful, xhr }) {
  if (successful) return "";
  if (xhr.getResponseHeader("Content-Type")?.startsWith("text/plain")) return xhr.responseText;
  return xhr.status ? `That did not work (${xhr.status}). Reload the page and try again.` : "No connection. Try again in a moment.";
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
