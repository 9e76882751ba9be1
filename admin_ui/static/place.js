// Forms that answer in place: `data-into`, on the form or on a button of it, names the part that the answer's page brings anew.
// Without a script the same form leads to the same page.
import { localize } from "./times.js";

export async function take(address, into, init) {
  const answer = await fetch(address, init);
  if (answer.redirected && new URL(answer.url).pathname === "/login") {
    location.reload();
    return null;
  }
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const part = page.querySelector(into) ?? page.querySelector("main > section");
  if (part) {
    localize(part);
  }
  return part;
}

addEventListener("submit", async (event) => {
  const form = event.target;
  const into = event.submitter?.dataset.into ?? form.dataset.into;
  if (!into) {
    return;
  }
  event.preventDefault();
  const place = form.closest(into) ?? document.querySelector(into);
  const body = new URLSearchParams(new FormData(form, event.submitter));
  const address = event.submitter?.getAttribute("formaction") ?? form.getAttribute("action");
  const part = await take(address, into, { method: "POST", body });
  if (part) {
    place.replaceWith(part);
    part.querySelector("[role=status], [role=alert]")?.scrollIntoView({ block: "nearest" });
    dispatchEvent(new CustomEvent("placed", { detail: part }));
  }
});
