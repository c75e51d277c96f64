// A dialog that htmx brought: opens at once, closes by Esc, backdrop or [data-close], and gives the focus back.

let opener = null;

class ModalDialog extends HTMLElement {
  connectedCallback() {
    const dialog = this.querySelector("dialog");
    const active = document.activeElement;
    if (!active?.closest("modal-dialog")) opener = active;
    // What stood in a menu is gone with it: then the menu's button takes the focus.
    opener = document.getElementById(opener?.closest("[popover][data-opener]")?.dataset.opener) ?? opener;
    dialog.addEventListener("close", () => this.#closed());
    this.addEventListener("htmx:afterRequest", ({ detail }) => detail.successful && detail.target.id === "toasts" && dialog.close());
    dialog.addEventListener("mousedown", (event) => event.target === dialog && dialog.close());
    dialog.addEventListener("click", (event) => {
      if (!event.target.closest("[data-close]")) return;
      event.preventDefault();
      dialog.close();
    });
    dialog.showModal();
  }

  #closed() {
    this.remove();
    opener?.focus();
  }
}

customElements.define("modal-dialog", ModalDialog);
