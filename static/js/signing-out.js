// Signing out empties this browser: a draft is kept with its chat first, and for the rest it is asked.

import { LOSES } from "./outbox.js";

const WITHIN = 3_000; // ms

export async function signOut(form, composer, unsent) {
  const enough = new Promise((done) => setTimeout(done, WITHIN));
  await Promise.race([composer.drafts?.then((drafts) => drafts?.save()), enough]);
  const { value, defaultValue } = composer.box;
  composer.signingOut = !(unsent || (value.trim() && value !== defaultValue)) || confirm(LOSES);
  if (composer.signingOut) form.submit();
}
