/** Style of a report's page. */

/** The style sheet: light and dark by what the reader's system says, one column on a phone. */
export function pageStyle(): string {
  return `
:root {
  color-scheme: light dark;
  --back: #f6f7f9; --card: #fff; --text: #1b2330; --soft: #5b6676; --line: #e3e7ed; --edge: #d4dae2;
  --c0: #2a6fdb; --c1: #d9730d; --c2: #13895c; --c3: #c2378f; --c4: #7a54d6; --c5: #0b8797; --c6: #94730a; --c7: #687282;
}
@media (prefers-color-scheme: dark) {
  :root {
    --back: #11151b; --card: #1a2029; --text: #e6eaf0; --soft: #9aa6b6; --line: #2a323e; --edge: #343e4c;
    --c0: #6ea8ff; --c1: #ffa657; --c2: #4cd3a0; --c3: #ff7ac6; --c4: #b69cff; --c5: #4fd4e4; --c6: #e3c04b; --c7: #a3acb9;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 24px 20px 48px; }
h1 { font-size: 1.55rem; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 32px 0 12px; }
h3 { font-size: 0.95rem; margin: 0; }
p { margin: 4px 0 0; color: var(--soft); overflow-wrap: anywhere; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)); gap: 12px; margin: 20px 0 0; padding: 0; }
.figures div, figure, .table, details { background: var(--card); border: 1px solid var(--edge); border-radius: 10px; }
.figures div { padding: 10px 14px; }
.figures dt { color: var(--soft); font-size: 0.8rem; }
.figures dd { margin: 0; font-size: 1.35rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 430px), 1fr)); gap: 16px; }
figure { margin: 0; padding: 14px 14px 8px; min-width: 0; }
figure p { font-size: 0.82rem; }
.plot { position: relative; touch-action: pan-y; }
svg { display: block; width: 100%; height: auto; margin-top: 6px; }
svg text { fill: var(--soft); font-size: 11px; font-variant-numeric: tabular-nums; }
svg .empty { font-size: 13px; }
svg .grid { stroke: var(--line); } svg .axis { stroke: var(--edge); }
.curve path { fill: none; stroke: currentColor; stroke-width: 1.6; stroke-linejoin: round; stroke-linecap: round; }
.curve circle { fill: currentColor; stroke: var(--card); stroke-width: 1; }
.curve.strong path { stroke-width: 2.4; } .curve.faint { opacity: 0.25; } .curve.faint path { stroke-width: 1; }
.curve.dashed path { stroke-dasharray: 5 4; }
.bars rect { fill: currentColor; } .bars text { fill: var(--text); }
${Array.from({ length: 8 }, (_, i) => `.c${i} { color: var(--c${i}); }`).join(" ")}
.legend { display: flex; flex-wrap: wrap; gap: 2px 6px; margin-top: 6px; }
.legend button { all: unset; cursor: pointer; font-size: 0.8rem; padding: 1px 6px; border-radius: 6px; color: var(--text); }
.legend button:focus-visible { outline: 2px solid var(--c0); } .legend button[aria-pressed="false"] { opacity: 0.4; }
.legend i { display: inline-block; width: 14px; height: 0; border-top: 2px solid currentColor; margin-right: 6px; vertical-align: middle; }
.legend i.strong { border-top-width: 4px; } .legend i.dashed { border-top-style: dashed; }
.cursor { position: absolute; top: 10px; bottom: 36px; width: 1px; background: var(--soft); pointer-events: none; }
.tip { position: absolute; top: 8px; z-index: 1; max-width: 75%; padding: 6px 10px; pointer-events: none; font-size: 0.8rem;
  background: var(--card); border: 1px solid var(--edge); border-radius: 8px; box-shadow: 0 4px 14px #0003; }
.tip b { display: block; } .tip span { display: block; white-space: nowrap; font-variant-numeric: tabular-nums; }
.table { overflow-x: auto; padding: 4px 14px; margin: 16px 0; }
table { border-collapse: collapse; width: 100%; font-size: 0.88rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: 8px 0 4px; }
th, td { text-align: right; padding: 5px 10px; border-top: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 500; border-top: 0; } th:first-child, td:first-child { text-align: left; padding-left: 0; }
details { padding: 8px 14px; margin-bottom: 12px; } summary { cursor: pointer; font-weight: 600; }
details dl { display: grid; grid-template-columns: minmax(120px, max-content) 1fr; gap: 2px 18px; font-size: 0.86rem; }
details dt { color: var(--soft); overflow-wrap: anywhere; }
details dd { margin: 0; overflow-wrap: anywhere; white-space: pre-wrap; font-family: ui-monospace, monospace; font-size: 0.92em; }
#live { float: right; font-size: 0.8rem; color: var(--soft); }
#live::before { content: ""; display: inline-block; width: 9px; height: 9px; border-radius: 50%; background: var(--c2); margin-right: 6px; }
#live.ended::before { background: var(--c7); }
@media (max-width: 560px) { main { padding: 14px 10px 32px; } details dl { grid-template-columns: 1fr; } details dd { margin-bottom: 6px; } }
@media print { body { background: #fff; } figure { break-inside: avoid; } }
`;
}
