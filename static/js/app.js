import "./chat-messages.js";
import "./chat-composer.js";
import "./modal-dialog.js";
import "./small-elements.js";
import { live } from "./socket.js";

live.open();
