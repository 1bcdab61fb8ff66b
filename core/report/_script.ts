/** The program of a report's page. */
import { chartKit } from "./draw.ts";

/** How the page keeps up with a run. */
export interface Live {
  /** Where its newest content is asked for. */
  readonly address: string;
  /** Milliseconds between two questions. */
  readonly everyMs: number;
}

/**
 * The script: draws the charts at the width there is, follows the pointer, hides and shows curves, and asks for news
 * when the page is live. Texts enter the page as text or escaped.
 */
export function pageScript(live: Live | null): string {
  return `(() => {
"use strict";
const kit = (${chartKit})();
const live = ${JSON.stringify(live)};
const hidden = new Set();
const byId = (id) => document.getElementById(id);
const height = (width) => Math.round(Math.max(200, Math.min(300, width * 0.52)));

function show(figure, chart) {
  const plot = figure.querySelector(".plot"), key = (one) => chart.title + "\\n" + one.name;
  const seen = () => ({ ...chart, series: chart.series.filter((one) => !hidden.has(key(one))) });
  const size = () => ({ width: Math.max(240, Math.round(plot.clientWidth)), height: height(plot.clientWidth) });
  const draw = () => { plot.innerHTML = kit.draw(seen(), size()); };
  for (const button of figure.querySelectorAll(".legend button")) {
    const one = { name: button.dataset.name };
    button.setAttribute("aria-pressed", String(!hidden.has(key(one))));
    button.onclick = () => {
      if (!hidden.delete(key(one))) hidden.add(key(one));
      button.setAttribute("aria-pressed", String(!hidden.has(key(one))));
      draw();
    };
  }
  const leave = () => plot.querySelectorAll(".cursor, .tip").forEach((part) => part.remove());
  plot.onpointerleave = leave;
  plot.onpointermove = plot.onpointerdown = (event) => {
    leave();
    const box = plot.getBoundingClientRect(), place = kit.at(seen(), size(), event.clientX - box.left);
    if (!place || place.values.length === 0) return;
    const cursor = document.createElement("div"), tip = document.createElement("div"), head = document.createElement("b");
    cursor.className = "cursor";
    cursor.style.left = place.left + "px";
    tip.className = "tip";
    head.textContent = place.label;
    tip.append(head);
    for (const value of place.values) {
      const line = document.createElement("span"), mark = document.createElement("i");
      mark.className = "c" + value.colour;
      mark.textContent = "\\u25cf ";
      line.append(mark, value.name + ": " + value.text);
      tip.append(line);
    }
    if (place.left < box.width / 2) tip.style.left = place.left + 10 + "px";
    else tip.style.right = box.width - place.left + 10 + "px";
    plot.append(cursor, tip);
  };
  draw();
  return { plot, draw };
}

let shown = [], sizes = new Map();
const watch = new ResizeObserver(() => {
  for (const { plot, draw } of shown) {
    if (sizes.get(plot) === plot.clientWidth) continue;
    sizes.set(plot, plot.clientWidth);
    draw();
  }
});

function start() {
  const charts = JSON.parse(byId("charts").textContent);
  watch.disconnect();
  sizes = new Map();
  shown = [...document.querySelectorAll("figure")].map((figure, i) => show(figure, charts[i]));
  for (const { plot } of shown) {
    sizes.set(plot, plot.clientWidth);
    watch.observe(plot);
  }
}

let tag = "", missed = 0;
async function news() {
  if (!document.hidden) {
    try {
      const found = await fetch(live.address, { cache: "no-store", headers: tag ? { "if-none-match": tag } : {} });
      missed = 0;
      if (found.status === 200) {
        tag = found.headers.get("etag") || "";
        const open = [...document.querySelectorAll("details")].map((one) => one.open);
        byId("content").innerHTML = await found.text();
        document.querySelectorAll("details").forEach((one, i) => { one.open = open[i] || false; });
        start();
      }
    } catch {
      missed++;
    }
    if (missed >= 3) {
      byId("live").textContent = "the run has ended";
      byId("live").className = "ended";
      return;
    }
  }
  setTimeout(news, live.everyMs);
}

start();
if (live) setTimeout(news, live.everyMs);
})();`;
}
