import assert from "node:assert/strict";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { openDashboard } from "../cli/dashboard.ts";
import { type MetricsEvent, RunReport } from "../mod.ts";
import { browserMissing, chromium, inBrowser, type View } from "./browser.ts";
import { inFolder } from "./cli.ts";

const ignore = chromium() === null, without = browserMissing();

/** Name of a setting and of a run that would be markup if they were taken as it. */
const HOSTILE = "<img src=x onerror=\"document.title='broken into'\">";

function event(split: string, step: number, values: Record<string, number>, epoch = 0): MetricsEvent {
  return { type: "metrics", stage: "train", split, step, epoch, values };
}

/** Gives a report some steps, each other loss of step 2 is no number, and validations after each 50. */
async function train(report: RunReport, from: number, to: number): Promise<void> {
  for (let step = from; step < to; step++) {
    const rates = [0.8, 0.6, 0.4].map((most) => most * (1 - Math.exp(-step / 30)));
    const values = Object.fromEntries(rates.flatMap((rate, i) => [
      [`loss_${i}`, i === 2 && step % 2 ? NaN : 5 * Math.exp(-step / 40) + i / 3 + Math.sin(step * 7) / 9],
      [`full_acc_${i}`, rate],
      [`cond_acc_${i}`, rate],
    ]));
    const further = { lr: 1e-4, grad_norm: 1 + 5 / (step + 1), tokens_per_second: 9_000, memory_bytes: 4e7 };
    const length = { simulated_accepted_length: 1 + rates[0]! };
    await report.take(
      event("train", step, { ...values, ...length, ...further, data_seconds: 0.01, compute_seconds: 0.1 }),
    );
    if (step % 50 === 49) {
      await report.take(event("val", step + 1, { ...values, seconds: 2 }, (step - 49) / 50));
    }
  }
}

/** What of each chart is really to be seen: widths of its curves, whether they lie inside the picture. */
const DRAWN = `[...document.querySelectorAll("figure")].map((figure) => {
  const box = figure.querySelector("svg").getBoundingClientRect();
  const marks = [...figure.querySelectorAll(".curve path, .curve circle, .bars rect")].map((mark) => {
    const own = mark.getBoundingClientRect(), { stroke, fill, opacity } = getComputedStyle(mark);
    return { inside: own.left >= box.left - 2 && own.right <= box.right + 2 && own.top >= box.top - 2 && own.bottom <= box.bottom + 2,
      size: own.width + own.height, seen: (stroke !== "none" || fill !== "none") && opacity !== "0" };
  });
  return { title: figure.querySelector("h3").textContent, wide: box.width, marks };
})`;

interface Drawn {
  readonly title: string;
  readonly wide: number;
  readonly marks: { readonly inside: boolean; readonly size: number; readonly seen: boolean }[];
}

async function checkDrawn(view: View, charts: number): Promise<void> {
  const drawn = await view.value<Drawn[]>(DRAWN);
  assert.equal(drawn.length, charts);
  for (const { title, marks, wide } of drawn) {
    assert.ok(wide > 200, title);
    assert.ok(marks.length > 0 && marks.every(({ inside, seen }) => inside && seen), title);
    assert.ok(marks.some(({ size }) => size > 5), `${title} shows nothing`);
  }
}

Deno.test({
  name: "a report's curves are drawn, light and dark, wide and on a phone, with tooltips and a legend" +
    without,
  ignore,
  fn: () =>
    inFolder(async (at) => {
      const report = new RunReport({ name: HOSTILE, folder: at(), settings: { [HOSTILE]: HOSTILE, lr: 1 } });
      await train(report, 0, 200);
      await report.write();
      const address = pathToFileURL(join(at(), "report.html")).href;
      await inBrowser(address, async (view) => {
        await checkDrawn(view, 10);
        assert.equal(await view.value("document.querySelector('h1').textContent"), `Training of ${HOSTILE}`);
        assert.equal(await view.value("document.querySelectorAll('img').length"), 0);
        const background = () => view.value<string>("getComputedStyle(document.body).backgroundColor");
        const light = await background();
        await view.page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: "dark" }]);
        assert.notEqual(await background(), light);
        await view.page.hover("figure .plot");
        const tip = await view.value<string>("document.querySelector('.tip').innerText");
        assert.match(tip, /^step \d+\n● train step 0: [\d.]+\n/);
        const curves = "document.querySelectorAll('figure:first-of-type .curve').length";
        const before = await view.value<number>(curves);
        await view.page.click(".legend button");
        assert.ok(await view.value<number>(curves) < before);
        await view.page.setViewport({ width: 360, height: 640 });
        await view.until("document.querySelector('figure svg').viewBox.baseVal.width < 350");
        await checkDrawn(view, 10);
        assert.ok(
          await view.value<number>("document.documentElement.scrollWidth") <= 360,
          "it scrolls sideways",
        );
        assert.deepEqual(view.troubles, []);
      });
    }),
});

Deno.test({
  name: "a report of one step, and one that never had a number, are drawn" + without,
  ignore,
  fn: () =>
    inFolder(async (at) => {
      for (const values of [{ loss_0: 1, lr: 0 }, { loss_0: NaN, lr: Infinity }]) {
        const report = new RunReport({ name: "one", folder: at(), settings: {} });
        await report.take(event("train", 0, values));
        await report.write();
        await inBrowser(pathToFileURL(join(at(), "report.html")).href, async (view) => {
          const marks = (await view.value<Drawn[]>(DRAWN)).map((chart) => chart.marks.length);
          const empty = await view.value("document.querySelectorAll('.empty').length");
          if (Number.isFinite(values.lr)) {
            assert.ok(marks.every((count) => count > 0) && empty === 0, String(marks));
          } else {assert.ok(
              marks.every((count) => count === 0) && empty === 2,
              String(marks),
            );}
          assert.deepEqual(view.troubles, []);
        });
      }
    }),
});

Deno.test({
  name: "the live page follows the run, keeps what was hidden, and says when the run has ended" + without,
  ignore,
  async fn() {
    const report = new RunReport({ name: "live", folder: "unused", settings: {} });
    const page = openDashboard(report, 0, { everyMs: 100 });
    try {
      await inBrowser(page.address, async (view) => {
        assert.equal(await view.value("document.querySelectorAll('figure').length"), 0);
        await train(report, 0, 60);
        await view.until("document.querySelectorAll('figure').length === 10");
        await checkDrawn(view, 10);
        await view.page.click(".legend button");
        await train(report, 60, 120);
        await view.until("document.querySelector('.figures dd').textContent === '120'");
        const hidden = "document.querySelector('.legend button').getAttribute('aria-pressed')";
        assert.equal(await view.value(hidden), "false");
        assert.equal(await view.value("document.getElementById('live').textContent"), "live");
        assert.deepEqual(view.troubles, []);
        await page[Symbol.asyncDispose]();
        await view.until("document.getElementById('live').textContent === 'the run has ended'");
        await checkDrawn(view, 10);
      });
    } finally {
      await page[Symbol.asyncDispose]();
    }
  },
});
