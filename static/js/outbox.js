// What is not sent yet: it is kept in this tab until the server has it.

const MOMENT = 1_000; // ms, between saying where to go and going

export function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16)); // randomUUID is missing on plain http
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

// A person's own, in a browser that others may use too.
export const mine = (what) => `${what}:${document.body.dataset.user}`;

// What there is no room for is sent all the same, and given back when it is refused.
export function putAside(place, what) {
  try {
    sessionStorage.setItem(place, JSON.stringify(what));
    return true;
  } catch {
    return false;
  }
}

// A list that outlives the page, if there is room.
function kept(name) {
  let tooMuch = null;
  return {
    all: () => tooMuch ?? JSON.parse(sessionStorage.getItem(mine(name)) ?? "[]"),
    keep(entries) {
      tooMuch = putAside(mine(name), entries) ? null : entries;
      guard();
    },
  };
}

export const refused = kept("refused");
export const outbox = {
  ...kept("outbox"),
  add: (entry) => outbox.keep([...outbox.all(), entry]),
  remove: (id) => outbox.keep(outbox.all().filter((entry) => entry.fields.client_id !== id)),
};

// Other pages with a message box go on with what is not sent yet; a tab that is closed takes it along, so it asks.
export const unsent = () => [outbox, refused].some((list) => list.all().length > 0);
const guard = () => (unsent() ? addEventListener : removeEventListener)("beforeunload", askFirst);
let leftAt = -MOMENT;
window.navigation?.addEventListener("navigate", ({ destination, timeStamp }) => {
  if (new URL(destination.url).origin === location.origin) leftAt = timeStamp;
});
const askFirst = (event) => event.timeStamp - leftAt > MOMENT && event.preventDefault();
guard();

// Signing out empties this browser. The message box has more to ask about.
export const LOSES = "Something is not sent yet, and signing out discards it. Sign out all the same?";
document.addEventListener("submit", (event) => {
  if (document.querySelector("chat-composer") || !event.target.matches("[action$='/logout/']")) return;
  if (unsent() && !confirm(LOSES)) event.preventDefault();
});
