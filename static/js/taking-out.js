// A message that waits goes out of the line and into the box.

import { takeBack } from "./giving-back.js";

const PAUSES = [1, 2, 4, 8, 15]; // seconds before each further attempt; the last again and again
const AWAY = [502, 503, 504];
const LATER = "No connection. The message comes into the box when there is one, unless it is sent first.";

const asked = new Set();
const wait = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

// Asked for until it is answered: by then it is in no line any more.
export async function takeOut({ target: form, submitter }, composer) {
  const { value } = submitter;
  if (asked.has(value)) return;
  asked.add(value);
  const response = await answered(form.action, new URLSearchParams(new FormData(form, submitter)), composer);
  asked.delete(value);
  composer.say(refusal(response));
  if (response.status === 200 && !response.redirected) back(await response.text(), composer);
  composer.messages.sync();
}

function refusal({ ok, status, redirected }) {
  if (redirected) return "You are signed out. Reload this page to sign in.";
  return ok ? "" : `That did not work (${status}). Reload the page and try again.`;
}

// The server has put it into the draft, too.
function back(text, composer) {
  takeBack(text, composer);
  const { box } = composer;
  box.defaultValue = [text, box.defaultValue].filter(Boolean).join("\n");
}

async function answered(address, body, composer) {
  for (let attempt = 0; ; attempt += 1) {
    const response = await fetch(address, { method: "POST", headers: { "HX-Request": "true" }, body }).catch(() => null);
    if (response && !AWAY.includes(response.status)) return response;
    if (attempt > 0) composer.say(LATER);
    await wait(PAUSES[attempt] ?? PAUSES.at(-1));
  }
}
