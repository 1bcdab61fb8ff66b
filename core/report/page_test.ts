import assert from "node:assert/strict";
import type { Report } from "./chart.ts";
import { dataOf, reportContent, reportPage } from "./page.ts";

/** Texts that would be tags, attributes or scripts if they were taken as they are. */
const HOSTILE = [
  "</script><script>alert(1)</script>",
  "\"'><img src=x onerror=alert(1)>",
  "<!--",
  "&lt;b&gt;",
  "]]>",
];

function report(text: string): Report {
  const series = [0, 1].map((colour) => ({ name: `${text}${colour}`, colour, x: [0, 1], y: [1, 2] }));
  const chart = { title: text, note: text, xLabel: text, format: "number" as const, series };
  const bars = { ...chart, categories: [text, text] };
  return {
    title: text,
    subtitle: text,
    figures: [{ label: text, value: text }],
    sections: [{ title: text, charts: [chart, bars] }],
    tables: [{ title: text, head: [text], rows: [[text]] }],
    details: [{ title: text, entries: [[text, text]] }],
  };
}

Deno.test("texts stay texts wherever they stand", () => {
  const plain = reportPage(report("plain"), { data: "plain" }),
    tags = (page: string) => page.match(/<[a-z!/]+/gi);
  for (const text of HOSTILE) {
    const page = reportPage(report(text), { data: { [text]: text } });
    assert.deepEqual(tags(page), tags(plain), text);
    assert.deepEqual(dataOf(page), { [text]: text });
    const charts = /id="charts">([^<]*)</.exec(page)![1]!;
    assert.equal(JSON.parse(charts)[0].title, text);
  }
});

Deno.test("a page loads nothing, a live one only from its own server", () => {
  const still = reportPage(report("a")),
    live = reportPage(report("a"), { live: { address: "/content", everyMs: 1 } });
  assert.match(still, /default-src 'none'[^"]*connect-src 'none'/);
  assert.match(live, /connect-src 'self'/);
  for (const page of [still, live]) {
    assert.doesNotMatch(page, /(?:src|href)="(?!data:)|url\(|@import|https?:\/\/(?!www\.w3\.org\/2000\/svg)/);
  }
});

Deno.test("charts are drawn before any script, with a legend where there is a choice", () => {
  const content = reportContent(report("a"));
  assert.equal(content.match(/<svg/g)?.length, 2);
  assert.equal(content.match(/<button/g)?.length, 4);
  assert.ok(content.includes('<path d="M'));
});

Deno.test("data of a page that is none, or broken, are none", () => {
  assert.equal(dataOf("<p>hello"), null);
  assert.equal(dataOf('<script type="application/json" id="data">{"a":</script>'), null);
});
