// Times in the reader's own zone: `<time datetime>` comes in UTC and is rewritten here.
// `data-as="ago"` tells how long since, `left` how long to go, `clock` the time of day, anything else
// date and time.

const FULL = new Intl.DateTimeFormat(undefined, {
  year: "numeric", month: "short", day: "numeric",
  hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short",
});
const CLOCK = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });
const REFRESH_MS = 15_000;

export function full(at) {
  return FULL.format(at);
}

export function clock(at) {
  return CLOCK.format(at);
}

export function ago(seconds) {
  if (seconds < 1) {
    return "now";
  }
  for (const [unit, name] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
    if (seconds >= unit) {
      return `${Math.floor(seconds / unit)} ${name} ago`;
    }
  }
  return `${Math.floor(seconds)} s ago`;
}

function text(at, form) {
  if (form === "ago") {
    return ago((Date.now() - at) / 1000);
  }
  if (form === "left") {
    return `${Math.max(0, Math.ceil((at - Date.now()) / 1000))} s`;
  }
  return form === "clock" ? clock(at) : full(at);
}

export function localize(part = document) {
  for (const time of part.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (!Number.isNaN(at.valueOf())) {
      time.textContent = text(at, time.dataset.as);
      time.title = full(at);
    }
  }
}

localize();
setInterval(localize, REFRESH_MS);
if (document.querySelector("[data-as=left]")) {
  setInterval(localize, 1000);
}
