/** Style of the page to chat on. */

/** The style sheet: light and dark by what the reader's system says, one column on a phone. */
export function chatStyle(): string {
  return `
:root { color-scheme: light dark; --back: #f6f7f9; --card: #fff; --text: #1b2330; --soft: #5b6676; --edge: #d4dae2;
  --own: #e4edfb; --good: #0f7a52; --goodback: #d9f3e6; --mark: #2a6fdb; --bad: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --back: #11151b; --card: #1a2029; --text: #e6eaf0; --soft: #9aa6b6; --edge: #343e4c;
    --own: #20304a; --good: #6fe3b0; --goodback: #173a2c; --mark: #6ea8ff; --bad: #ff8a80; }
}
* { box-sizing: border-box; }
html, body { height: 100%; }
body { margin: 0 auto; max-width: 860px; padding: 0 16px; display: flex; flex-direction: column;
  background: var(--back); color: var(--text); font: 15px/1.55 system-ui, sans-serif; }
header { display: flex; flex-wrap: wrap; align-items: center; gap: 6px 20px; padding: 14px 0 10px; border-bottom: 1px solid var(--edge); }
h1 { flex: 1 1 200px; min-width: 0; margin: 0; font-size: 1.1rem; overflow-wrap: anywhere; }
dl { display: flex; gap: 18px; margin: 0; } dl div { text-align: right; }
dt { color: var(--soft); font-size: 0.72rem; } dd { margin: 0; font-weight: 600; font-variant-numeric: tabular-nums; }
#spark { width: 120px; height: 32px; } #spark rect { fill: var(--good); }
main { flex: 1; overflow-y: auto; padding: 14px 0; }
.turn { max-width: 88%; width: fit-content; margin: 0 0 12px; padding: 8px 13px; border: 1px solid var(--edge); border-radius: 12px;
  background: var(--card); white-space: pre-wrap; overflow-wrap: anywhere; }
.turn.user { margin-left: auto; background: var(--own); border-color: transparent; }
.turn.failed { color: var(--bad); }
.turn small { display: block; margin-top: 4px; color: var(--soft); }
.coloured .accepted { color: var(--good); background: var(--goodback); border-radius: 3px; }
form { padding: 10px 0 16px; border-top: 1px solid var(--edge); }
textarea { width: 100%; padding: 8px 10px; resize: vertical; font: inherit; color: inherit; background: var(--card);
  border: 1px solid var(--edge); border-radius: 10px; }
.row { display: flex; flex-wrap: wrap; align-items: center; gap: 8px 12px; margin-top: 8px; font-size: 0.84rem; color: var(--soft); }
.row input { font: inherit; color: var(--text); background: var(--card); border: 1px solid var(--edge); border-radius: 6px; padding: 2px 6px; }
.row input[type=number] { width: 62px; } .row input[type=password] { width: 76px; }
.buttons { display: flex; gap: 8px; margin-left: auto; }
button { font: inherit; padding: 5px 14px; border-radius: 8px; border: 1px solid var(--edge); background: var(--card); color: var(--text); cursor: pointer; }
#send { background: var(--mark); border-color: transparent; color: #fff; } @media (prefers-color-scheme: dark) { #send { color: #10151c; } }
button:disabled { opacity: 0.45; cursor: default; }
:focus-visible { outline: 2px solid var(--mark); outline-offset: 1px; }
`;
}
