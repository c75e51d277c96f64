// Signing out empties this browser: a draft is kept with its chat first, and for the rest it is asked.

const WITHIN = 3_000; // ms
const WORDS = "Something is not sent yet, and signing out discards it. Sign out all the same?";

export async function signOut(form, composer, unsent) {
  const enough = new Promise((done) => setTimeout(done, WITHIN));
  await Promise.race([composer.drafts?.then((drafts) => drafts?.save()), enough]);
  const { value, defaultValue } = composer.box;
  composer.signingOut = !(unsent || (value.trim() && value !== defaultValue)) || confirm(WORDS);
  if (composer.signingOut) form.submit();
}
