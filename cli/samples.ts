/** Samples for the eye: the part of a conversation that is trained on, in colour. */
import type { InspectedSample, InspectSamplesResult } from "../mod.ts";
import { type Output, style } from "./ui.ts";

/** Shows samples on a terminal; without colours the trained part stands in ⟦ ⟧. */
export function showSamples(result: InspectSamplesResult, out: Output): void {
  for (const sample of result.samples) {
    out.write(style(out, "bold", heading(sample)) + "\n");
    for (const { text, trained } of sample.pieces) {
      const shown = visible(text);
      if (!trained) out.write(style(out, "dim", shown));
      // Line by line: a pager starts each line without colour.
      else if (out.colour) {
        out.write(shown.split("\n").map((line) => line && style(out, "green", line)).join("\n"));
      } else out.write(`⟦${shown}⟧`);
    }
    out.write((sample.cut > 0 ? style(out, "yellow", `… ${sample.cut} characters cut off`) : "") + "\n\n");
  }
  for (const { line, path, reason } of result.rejected) {
    out.write(style(out, "yellow", `left out: ${reason} (${path}:${line})`) + "\n");
  }
  out.write(`${rule(result)}\n`);
}

/** Samples as a page that needs nothing else. */
export function samplesPage(result: InspectSamplesResult, model: string): string {
  const samples = result.samples.map((sample) => {
    const text = sample.pieces.map(({ text, trained }) =>
      trained ? `<mark>${escape(visible(text))}</mark>` : escape(visible(text))
    ).join("");
    const cut = sample.cut > 0 ? `<i>… ${sample.cut} characters cut off</i>` : "";
    return `<section><h2>${escape(heading(sample))}</h2><pre>${text}${cut}</pre></section>`;
  });
  const rejected = result.rejected.map(({ line, path, reason }) =>
    `<li>${escape(`${reason} (${path}:${line})`)}</li>`
  );
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Samples for ${escape(model)}</title>
<style>
:root { color-scheme: light dark; font-family: system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h2 { font-size: 1rem; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; padding: 1rem; border: 1px solid #8886; border-radius: 6px; }
mark { background: #3fb95055; color: inherit; border-bottom: 2px solid #2da44e; }
i { color: #b58900; }
</style></head><body>
<h1>Samples for ${escape(model)}</h1>
<p><mark>Marked</mark> text is trained on. ${escape(rule(result))}</p>
${samples.join("\n")}
${rejected.length === 0 ? "" : `<h2>Left out</h2><ul>${rejected.join("")}</ul>`}
</body></html>
`;
}

function heading({ index, line, path, tokens, trainedTokens }: InspectedSample): string {
  return `Sample ${index}: ${tokens} tokens, ${trainedTokens} trained on (${path}:${line})`;
}

function rule({ pattern }: InspectSamplesResult): string {
  return pattern === null
    ? "The assistant's part is what the chat template marks as generated"
    : `The assistant's part is group 1 of ${pattern.replaceAll("\\\n", "\\n").replaceAll("\n", "\\n")}`;
}

/** Control characters as signs: text of a data set must not steer the terminal. */
function visible(text: string): string {
  return text.replace(/\p{Cc}/gu, (c) => {
    const code = c.charCodeAt(0);
    return c === "\n" || c === "\t" ? c : code < 0x20 ? String.fromCharCode(0x2400 + code) : "␡";
  });
}

function escape(text: string): string {
  return text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
}
