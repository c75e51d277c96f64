// What is typed and not sent is kept on the server, when typing pauses and when the page is left: it is there on
// another device. The box's default value is what the server has.

const PAUSE = 1_000; // ms
const MOST_KEPT_ALIVE = 60_000; // bytes; browsers refuse more of a page that is left

export function keepDrafts(form) {
  const box = form.elements.text;
  const address = new URL("../draft/", form.action);
  let timer = null;
  let posting = null; // while it is not known what the server has

  // With the id its message will have: the server knows by it a draft that comes after its message.
  async function save() {
    clearTimeout(timer);
    const text = box.value;
    if (text === box.defaultValue && !posting) return;
    posting?.abort();
    const current = (posting = new AbortController());
    const { client_id, csrfmiddlewaretoken } = form.elements;
    const body = new URLSearchParams({ text, client_id: client_id.value, csrfmiddlewaretoken: csrfmiddlewaretoken.value });
    const keepalive = body.toString().length < MOST_KEPT_ALIVE;
    const response = await fetch(address, { method: "POST", body, keepalive, signal: current.signal }).catch(() => null);
    if (!response || posting !== current) return;
    posting = null;
    if (response.status === 204) box.defaultValue = text; // what it refused, such as too much, only this tab has
  }

  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(save, PAUSE);
  };
  for (const event of ["input", "submit", "accepted"]) form.addEventListener(event, later);
  document.addEventListener("visibilitychange", () => document.hidden && save());
  addEventListener("pagehide", save);
  later();
  return { save };
}
