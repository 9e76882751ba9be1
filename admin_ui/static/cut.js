// The threshold as a line over a histogram: moves what it would do along with it, by pointer or keys.
// The line is a range input laid over the picture, so that keyboard and screen readers know it.
import { take } from "./place.js";

function percent(share) {
  if (share == null) {
    return "–";
  }
  const value = 100 * share;
  return value > 0 && value < 0.1 ? "<0.1%" : `${value === 0 || value === 100 ? value : value.toFixed(1)}%`;
}

function doubt([, , low, , high, samples]) {
  return samples
    ? `Between ${percent(low)} and ${percent(high)} wrong, from ${samples.toLocaleString("en")} comparisons above the line.`
    : "Nothing above the line has been compared, so how many would be wrong is not known.";
}

function against(value, now) {
  const points = 100 * (value - now);
  return Math.abs(points) < 0.05 ? "" : ` (${points > 0 ? "+" : "−"}${Math.abs(points).toFixed(1)} points)`;
}

function follow(form) {
  const cuts = JSON.parse(form.dataset.cuts);
  const [standing, low] = [Number(form.dataset.cut), Number(form.dataset.low)];
  const line = form.querySelector(".cutter");
  const shown = (name) => form.querySelector(`[data-show=${name}]`);
  const at = (cut) => cuts.reduce((best, row) => (Math.abs(row[0] - cut) < Math.abs(best[0] - cut) ? row : best));
  const place = (cut) => `${(100 * (cut - low)) / (1 - low)}%`;
  const now = at(standing);

  function move() {
    const cut = Number(line.value);
    const row = at(cut);
    form.querySelector(".veil").style.width = place(cut);
    shown("cut").textContent = cut.toFixed(3);
    shown("hit").textContent = percent(row[1]) + against(row[1], now[1]);
    shown("wrong").textContent = row[5] ? percent(row[3]) : "–";
    shown("said").textContent = doubt(row);
    line.setAttribute("aria-valuetext", `${cut.toFixed(3)}: hit rate ${percent(row[1])}, ` +
      (row[5] ? `wrong at most ${percent(row[4])}` : "wrong not known"));
    const apply = form.querySelector(".apply");
    if (apply) {
      apply.disabled = Math.abs(cut - standing) < 0.0005;
    }
  }

  form.querySelector(".now").style.left = place(standing);
  line.addEventListener("input", move);
  move();
}

function begin(part) {
  for (const form of part.querySelectorAll("form.cutting")) {
    follow(form);
  }
}

async function load(place) {
  const part = await take(place.dataset.load, ".similarities");
  if (part) {
    part.removeAttribute("id");
    place.replaceWith(part);
    begin(part);
  }
}

const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (entry.isIntersecting) {
      seen.unobserve(entry.target);
      load(entry.target);
    }
  }
}, { rootMargin: "300px" });

for (const place of document.querySelectorAll("[data-load]")) {
  seen.observe(place);
}
begin(document);
addEventListener("placed", (event) => begin(event.detail.parentElement));
