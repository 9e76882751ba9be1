// Keeps the part `live` of a page current: takes the page anew every few seconds, and shows it where
// it changed. Whoever draws into it hears `placed`.
import { take } from "./place.js";

const PERIOD_MS = 4000;
const live = document.getElementById("live");
let last = "";

function say(text) {
  document.getElementById("live-state").textContent = text;
}

// Someone who is selecting, tabbing through or reading the numbers keeps them until the next look.
function busy() {
  return !getSelection().isCollapsed || live.contains(document.activeElement) ||
    live.matches(":has(.plot:hover, details[open])");
}

async function look() {
  const part = await take(location.href, "#live");
  const fresh = part?.innerHTML ?? last;
  if (fresh !== last && !busy()) {
    last = fresh;
    live.replaceChildren(...part.childNodes);
    dispatchEvent(new CustomEvent("placed", { detail: live }));
  }
  say(`updated ${new Date().toLocaleTimeString()}`);
}

async function loop() {
  if (!document.hidden) {
    try {
      await look();
    } catch {
      say("Likewise does not answer; these are the last figures. Trying again.");
    }
  }
  setTimeout(loop, PERIOD_MS);
}

setTimeout(loop, PERIOD_MS);
