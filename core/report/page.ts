/**
 * A report as one HTML file: style, program and numbers are inside, and its policy lets it load nothing else.
 *
 * @module
 */
import type { Chart, Report, ReportTable, Series } from "./chart.ts";
import { chartKit } from "./draw.ts";
import { type Live, pageScript } from "./_script.ts";
import { pageStyle } from "./_style.ts";

export type { Live } from "./_script.ts";

/** What a page has besides its report. */
export interface PageOptions {
  /** How it keeps up with a run; a page that does not when absent. */
  readonly live?: Live;
  /** What a later run reads back from it. */
  readonly data?: unknown;
}

/** Size of a chart before the page's program draws it at the width there is. */
const STATIC = { width: 560, height: 290 };

/** The whole page. */
export function reportPage(report: Report, options: PageOptions = {}): string {
  const { live, data } = options, { escape } = chartKit();
  const connect = live ? "'self'" : "'none'";
  const policy =
    `default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src ${connect}; ` +
    "img-src data:; base-uri 'none'; form-action 'none'";
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>${escape(report.title)}</title>
<style>${pageStyle()}</style>
</head>
<body>
<main>
${live ? '<span id="live" role="status">live</span>\n' : ""}<div id="content">
${reportContent(report)}
</div>
</main>
${
    data === undefined
      ? ""
      : `<script type="application/json" id="data">${jsonInside(data)}</script>\n`
  }<script>${pageScript(live ?? null)}</script>
</body>
</html>
`;
}

/**
 * What of a page changes with its report.
 *
 * @param drawn whether the charts are drawn already; a page's program draws them anyway
 */
export function reportContent(report: Report, drawn = true): string {
  const { escape } = chartKit(), charts = report.sections.flatMap((section) => section.charts);
  const parts = [`<h1>${escape(report.title)}</h1>`, `<p>${escape(report.subtitle)}</p>`];
  const figures = report.figures.map(({ label, value }) =>
    `<div><dt>${escape(label)}</dt><dd>${escape(value)}</dd></div>`
  );
  if (figures.length > 0) parts.push(`<dl class="figures">${figures.join("")}</dl>`);
  for (const { title, charts } of report.sections) {
    if (charts.length > 0) {
      parts.push(
        `<h2>${escape(title)}</h2>`,
        `<div class="charts">${charts.map((chart) => figure(chart, drawn)).join("\n")}</div>`,
      );
    }
  }
  for (const table of report.tables) parts.push(tableOf(table));
  for (const { title, entries } of report.details) {
    const list = entries.map(([name, value]) => `<dt>${escape(name)}</dt><dd>${escape(value)}</dd>`).join("");
    parts.push(`<details><summary>${escape(title)}</summary><dl>${list}</dl></details>`);
  }
  parts.push(`<script type="application/json" id="charts">${jsonInside(charts)}</script>`);
  return parts.join("\n");
}

/** What {@linkcode PageOptions.data} of a page was, or `null` where it has none. */
export function dataOf(page: string): unknown {
  const found = /<script type="application\/json" id="data">([^<]*)<\/script>/.exec(page)?.[1];
  if (found === undefined) return null;
  try {
    return JSON.parse(found);
  } catch {
    return null;
  }
}

function figure(chart: Chart, drawn: boolean): string {
  const kit = chartKit(), { escape } = kit;
  const named = chart.series.filter((one) => one.look !== "faint");
  const legend = named.length < 2 ? "" : named.map((one) => legendEntry(one)).join("");
  return `<figure><h3>${escape(chart.title)}</h3>${chart.note ? `<p>${escape(chart.note)}</p>` : ""}` +
    `<div class="plot">${drawn ? kit.draw(chart, STATIC) : ""}</div>${
      legend === "" ? "" : `<div class="legend">${legend}</div>`
    }</figure>`;
}

function legendEntry(one: Series): string {
  const { escape } = chartKit(), name = escape(one.name);
  return `<button type="button" aria-pressed="true" data-name="${name}"><i class="c${one.colour % 8} ${
    one.look ?? "plain"
  }"></i>${name}</button>`;
}

function tableOf(table: ReportTable): string {
  const { escape } = chartKit();
  const cells = (row: readonly string[], tag: string) =>
    row.map((cell) => `<${tag}>${escape(cell)}</${tag}>`).join("");
  const rows = table.rows.map((row) => `<tr>${cells(row, "td")}</tr>`).join("");
  return `<div class="table"><table><caption>${escape(table.title)}</caption><thead><tr>${
    cells(table.head, "th")
  }</tr></thead><tbody>${rows}</tbody></table></div>`;
}

/** JSON that no text in it can end the element around. */
function jsonInside(value: unknown): string {
  return JSON.stringify(value).replaceAll("<", "\\u003c");
}
