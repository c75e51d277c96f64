// What comes back: a message that was refused, or taken out of the line, goes into the box of its own conversation.

// Where another one is shown that is said, on every page, until it is collected or let go.
export function seeTo(refused, composer) {
  const belongs = ({ place, chat }) => place === composer.place || chat === composer.form.dataset.chat;
  const all = refused.all();
  refused.keep(all.filter((entry) => !belongs(entry)));
  tellOfOthers(refused, composer);
  for (const { text, words } of all.filter(belongs)) {
    takeBack(text, composer);
    composer.say(words);
  }
}

function tellOfOthers(refused, composer) {
  const [first] = refused.all();
  if (!first) return;
  composer.say("A message in another session was not sent. ");
  const link = Object.assign(document.createElement("a"), { href: first.here, textContent: "It is in the box there." });
  const letGo = Object.assign(document.createElement("button"), { type: "button", textContent: "Discard it" });
  letGo.onclick = () => {
    composer.error.replaceChildren();
    composer.say("");
    refused.keep(refused.all().slice(1));
    tellOfOthers(refused, composer);
  };
  composer.error.append(link, " ", letGo);
}

// Before what is in the box, but after what came back before it.
export function takeBack(text, composer) {
  const { box, cameBack } = composer;
  const end = cameBack && box.value.startsWith(cameBack) ? box.value.indexOf("\n", cameBack.length) : 0;
  const place = end < 0 ? box.value.length : end;
  const [before, since] = [box.value.slice(0, place), box.value.slice(place).replace("\n", "")];
  composer.cameBack = [before, text].filter(Boolean).join("\n");
  box.value = [composer.cameBack, since].filter(Boolean).join("\n");
  box.focus();
  box.dispatchEvent(new Event("input", { bubbles: true }));
}
