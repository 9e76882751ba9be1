// Keeps the overview current: asks for the figures, and takes the page anew only where they changed.
"use strict";

const PERIOD_MS = 4000;
const live = document.getElementById("live");
const state = document.getElementById("live-state");
let last = "";

function say(text) {
  state.textContent = text;
}

async function look() {
  const seconds = encodeURIComponent(live.dataset.seconds);
  const answer = await fetch(`/api/overview?seconds=${seconds}`, { credentials: "same-origin" });
  if (answer.status === 401) {
    location.reload();
    return;
  }
  if (!answer.ok) {
    throw new Error(`status ${answer.status}`);
  }
  const figures = await answer.text();
  if (figures !== last) {
    if (last) {
      await redraw();
    }
    last = figures;
  }
  say(`Updated ${new Date().toLocaleTimeString()}`);
}

async function redraw() {
  const answer = await fetch(location.href, { credentials: "same-origin" });
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const part = fresh.getElementById("live");
  // Someone who is selecting or tabbing through the figures keeps them until the next look.
  if (part && getSelection().isCollapsed && !live.contains(document.activeElement)) {
    live.replaceChildren(...part.childNodes);
  }
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

loop();
