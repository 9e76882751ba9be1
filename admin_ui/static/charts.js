// Charts over time: uPlot in the theme's colours, with a readout in words and the arrow keys.
// What a chart shows comes in its figure's `data-series`, column by column.
import { clock } from "./times.js";

const { uPlot } = window;
const AXIS_FONT = "11px 'Public Sans', system-ui, sans-serif";
const STACK = [
  ["exact", "exact"], ["semantic", "semantic"], ["stale", "stale"],
  ["collapsed", "collapsed"], ["missed", "miss"], ["bypassed", "bypass"],
];
const LINES = [
  ["hitP50", "exact", 2, "memory, half"], ["hitP95", "semantic", 1.25, "memory, 95%"],
  ["missP50", "miss", 2, "upstream, half"], ["missP95", "bypass", 1.25, "upstream, 95%"],
];
const NUMBER = new Intl.NumberFormat("en");
const WHOLE = [1, 2, 5].flatMap((n) => [0, 1, 2, 3, 4, 5, 6, 7].map((zeros) => n * 10 ** zeros)).sort((a, b) => a - b);
const drawn = new Map();

// A custom property holds a pair of colours; only a property that is one resolves it.
export function colour(name, at = document.body) {
  const probe = document.createElement("i");
  probe.hidden = true;
  probe.style.color = `var(--${name})`;
  at.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

export function milliseconds(value) {
  if (value == null) {
    return "–";
  }
  if (value < 10) {
    return `${value.toFixed(1)} ms`;
  }
  return value < 1000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(2)} s`;
}

const DAY = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });
const HOUR = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });

// A day's first mark carries the date, the others the time, in the reader's own zone.
function moments(_, splits, __, ___, step) {
  let day = "";
  return splits.map((at) => {
    const date = new Date(at * 1000);
    const name = DAY.format(date);
    const text = name === day || day === "" && step < 3600 ? HOUR.format(date) : name;
    day = name;
    return text;
  });
}

function axes(own) {
  const line = { stroke: colour("soft"), font: AXIS_FONT, ticks: { show: false } };
  return [
    { ...line, grid: { show: false }, space: 75, size: 30, values: moments },
    { ...line, grid: { stroke: colour("line"), width: 1 }, size: 52, space: 34, ...own },
  ];
}

function stacked(series) {
  const sums = [];
  let below = series.at.map(() => 0);
  for (const [column] of STACK) {
    below = series[column].map((value, at) => value + below[at]);
    sums.push(below);
  }
  return sums.reverse(); // the tallest first, so that each later bar is drawn over its foot
}

function requests(series) {
  const tones = STACK.map(([, tone]) => colour(tone)).reverse();
  const paths = uPlot.paths.bars({ size: [0.82, 28], align: 1 });
  return {
    data: [series.at, ...stacked(series)],
    options: {
      scales: { y: { range: (_, __, most) => [0, Math.max(most * 1.05, 1)] } },
      axes: axes({ incrs: WHOLE, values: (_, splits) => splits.map((n) => NUMBER.format(n)) }),
      series: [{}, ...tones.map((fill) => ({ fill, stroke: fill, width: 0, paths, points: { show: false } }))],
    },
    say(at) {
      const counts = STACK.map(([column]) => [column, series[column][at]]).filter(([, n]) => n);
      const all = counts.reduce((sum, [, n]) => sum + n, 0);
      const parts = counts.map(([column, n]) => `${NUMBER.format(n)} ${column}`);
      return all ? `${NUMBER.format(all)} requests: ${parts.join(", ")}` : "no requests";
    },
  };
}

function decades(_, splits) {
  return splits.map((n) => (Math.log10(n) % 1 === 0 ? n : null));
}

function speed(series) {
  const known = LINES.flatMap(([column]) => series[column]).filter((value) => value > 0);
  const [least, most] = [Math.min(...known, 10), Math.max(...known, 100)];
  return {
    data: [series.at, ...LINES.map(([column]) => series[column].map((value) => value || null))],
    options: {
      scales: { y: { distr: 3, range: () => [10 ** Math.floor(Math.log10(least)), 10 ** Math.ceil(Math.log10(most))] } },
      axes: axes({
        filter: decades,
        grid: { stroke: colour("line"), width: 1, filter: decades },
        values: (_, splits) => splits.map((n) => (n == null ? "" : milliseconds(n).replace(/\.0+ /, " "))),
      }),
      series: [{}, ...LINES.map(([, tone, width]) => ({
        stroke: colour(tone), width, spanGaps: true, points: { show: true, size: 4, fill: colour(tone) },
      }))],
    },
    say(at) {
      const parts = LINES.filter(([column]) => series[column][at] != null)
        .map(([column, , , name]) => `${name} ${milliseconds(series[column][at])}`);
      return parts.join(", ") || "no requests";
    },
  };
}

const KINDS = { requests, speed };

function options(box, own, series, told) {
  const end = series.at.length ? series.at.at(-1) + series.step : 0;
  return {
    width: box.clientWidth,
    height: box.clientHeight,
    legend: { show: false },
    cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
    padding: [8, 8, 0, 0],
    ...own,
    scales: { x: { time: true, range: () => [series.at[0] ?? 0, end] }, ...own.scales },
    hooks: { setCursor: [(plot) => told(plot.cursor.idx)] },
  };
}

function draw(figure) {
  const box = figure.querySelector(".plot");
  const readout = figure.querySelector(".readout");
  const series = JSON.parse(figure.dataset.series);
  const { data, options: own, say } = KINDS[figure.dataset.chart](series);
  const hint = "Point at the chart, or go to it and use the arrow keys.";
  const told = (at) => {
    readout.textContent = at == null ? hint : `${clock(new Date(series.at[at] * 1000))}: ${say(at)}`;
  };
  drawn.get(figure)?.destroy();
  const plot = new uPlot(options(box, own, series, told), data, box);
  drawn.set(figure, plot);
  told(null);
  return plot;
}

const STEPS = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity };

function steer(figure, event) {
  const step = STEPS[event.key];
  const plot = drawn.get(figure);
  if (step === undefined || !plot) {
    return;
  }
  event.preventDefault();
  const last = plot.data[0].length - 1;
  const from = plot.cursor.idx ?? (step < 0 ? last + 1 : -1);
  const to = Math.min(last, Math.max(0, from + step));
  plot.setCursor({ left: plot.valToPos(plot.data[0][to], "x") + 1, top: 0 });
}

const resized = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    const plot = drawn.get(target.closest("figure"));
    if (plot && target.clientWidth) {
      plot.setSize({ width: target.clientWidth, height: target.clientHeight });
    }
  }
});

// Draws every chart of a part of the page; those that left the page are let go.
export function drawAll(part = document) {
  for (const [figure, plot] of drawn) {
    if (!figure.isConnected) {
      plot.destroy();
      drawn.delete(figure);
    }
  }
  for (const figure of part.querySelectorAll("figure[data-chart]")) {
    draw(figure);
    const box = figure.querySelector(".plot");
    box.addEventListener("keydown", (event) => steer(figure, event));
    resized.observe(box);
  }
}

function repaint() {
  for (const figure of drawn.keys()) {
    draw(figure);
  }
}

addEventListener("theme", repaint);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
