// The log: opens a row to its evidence, and follows new decisions as they are made.
import { take } from "./place.js";

const PAUSE_MS = 700;
const SHOWN = 200;
const rows = document.getElementById("rows");
const follow = document.getElementById("follow");
const said = document.getElementById("said");

async function open(details) {
  const place = details.querySelector(".evidence");
  if (!details.open) {
    // Only an open row holds evidence: forms inside answer into the one part of that name.
    place.removeAttribute("id");
    place.replaceChildren();
    return;
  }
  const part = await take(`/decisions/${details.dataset.id}`, "#evidence");
  if (part) {
    place.replaceWith(part);
  }
}

// `toggle` does not bubble, so it is caught on its way down.
document.addEventListener("toggle", (event) => {
  if (event.target.dataset?.id) {
    for (const other of document.querySelectorAll("#log > details[open]")) {
      if (event.target.open && other !== event.target) {
        other.open = false;
      }
    }
    open(event.target);
  }
}, true);

function newest() {
  return BigInt(document.querySelector("#log > details")?.dataset.id ?? "0");
}

function insert(part) {
  const log = document.getElementById("log");
  if (!log || !part.querySelector("#log")) {
    rows.replaceChildren(...part.childNodes);
    return rows.querySelectorAll("#log > details").length;
  }
  const top = newest();
  const fresh = [...part.querySelectorAll("#log > details")].filter((one) => BigInt(one.dataset.id) > top);
  for (const one of fresh) {
    one.classList.add("fresh");
  }
  log.prepend(...fresh);
  for (const old of [...log.children].slice(SHOWN)) {
    if (!old.open) {
      old.remove();
    }
  }
  return fresh.length;
}

let stream = null;
let waiting = null;

async function refresh() {
  waiting = null;
  const part = await take(location.href, "#rows");
  const count = part ? insert(part) : 0;
  if (count) {
    said.textContent = `${count} new ${count === 1 ? "decision" : "decisions"}`;
  }
}

// However many come, the page is asked for them once in a while.
function news() {
  waiting ??= setTimeout(refresh, PAUSE_MS);
}

function state(text, on) {
  follow.dataset.state = on ? "on" : "off";
  follow.setAttribute("aria-pressed", String(stream !== null));
  follow.querySelector("span").textContent = text;
}

function begin() {
  stream = new EventSource(follow.dataset.stream);
  state("Connecting", false);
  stream.addEventListener("open", () => {
    state("Following", true);
    news();
  });
  stream.addEventListener("error", () => state("Connecting again", false));
  stream.addEventListener("message", news);
  stream.addEventListener("decision", news);
}

function end() {
  stream.close();
  stream = null;
  state("Follow", false);
}

follow?.addEventListener("click", () => (stream ? end() : begin()));
if (follow) {
  begin();
}
