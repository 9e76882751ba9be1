// The policy's editor: numbers its lines, checks while one types, and leads from a fault to its line.
import { take } from "./place.js";

const PAUSE_MS = 400;
const draft = document.getElementById("draft");
const text = draft?.querySelector("textarea");
const gutter = draft?.querySelector(".gutter");
const apply = document.getElementById("apply");
const standing = text?.defaultValue;

function number() {
  const faulty = new Set([...document.querySelectorAll("#checked [data-line]")].map((one) => one.dataset.line));
  const lines = text.value.split("\n").map((_, at) => String(at + 1));
  gutter.replaceChildren(...lines.flatMap((line) => {
    const mark = document.createElement(faulty.has(line) ? "b" : "span");
    mark.textContent = line;
    return [mark, "\n"];
  }));
  gutter.scrollTop = text.scrollTop;
}

function goTo(line) {
  const lines = text.value.split("\n");
  const start = lines.slice(0, line - 1).reduce((sum, one) => sum + one.length + 1, 0);
  text.focus();
  text.setSelectionRange(start, start + (lines[line - 1]?.length ?? 0));
  text.scrollTop = Math.max(0, (line - 8) * (text.scrollHeight / lines.length));
}

let asked = 0;

async function check() {
  asked += 1;
  const mine = asked;
  const part = await take("/policy/check", "#checked", { method: "POST", body: new URLSearchParams(new FormData(draft)) });
  if (part && mine === asked) {
    document.getElementById("checked").replaceChildren(...part.childNodes);
    number();
    if (apply) {
      apply.disabled = text.value === standing || document.querySelector("#checked .faults") !== null;
    }
  }
}

if (text) {
  let pause = null;
  text.addEventListener("input", () => {
    number();
    clearTimeout(pause);
    pause = setTimeout(check, PAUSE_MS);
  });
  text.addEventListener("scroll", () => {
    gutter.scrollTop = text.scrollTop;
  });
  draft.addEventListener("click", (event) => {
    const line = event.target.dataset?.line;
    if (line) {
      goTo(Number(line));
    }
  });
  if (apply) {
    apply.disabled = text.value === standing && !document.querySelector("[role=alert]");
  }
  number();
}
