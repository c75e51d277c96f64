// A dialog that htmx brought: opens at once, closes by Esc, backdrop or [data-close], and gives the focus back.

let opener = null;

class ModalDialog extends HTMLElement {
  connectedCallback() {
    const dialog = this.querySelector("dialog");
    if (!document.activeElement?.closest("modal-dialog")) opener = document.activeElement;
    dialog.addEventListener("close", () => this.#closed());
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
