import "./chat-messages.js";
import "./chat-composer.js";
import "./session-menus.js";
import "./small-elements.js";
import { live } from "./socket.js";

live.open();

// Dialogs come later, and so does what opens them.
document.addEventListener("htmx:afterSwap", () => document.querySelector("modal-dialog") && import("./modal-dialog.js"));

// Times are shown in the reader's zone; the server has no other way to know it.
document.cookie = `zone=${Intl.DateTimeFormat().resolvedOptions().timeZone}; path=/; max-age=31536000; samesite=lax`;
