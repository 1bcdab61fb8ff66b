/**
 * The page to chat on: one file that loads nothing. What the draft proposed and the model accepted is coloured.
 *
 * @module
 */
import { chatScript } from "./_page_script.ts";
import { chatStyle } from "./_page_style.ts";

/** The page. @param about `speculates`: whether there is a draft */
export function chatPage(about: { readonly model: string; readonly speculates: boolean }): string {
  const policy =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; " +
    "img-src data:; base-uri 'none'; form-action 'none'";
  const data = JSON.stringify(about).replaceAll("<", "\\u003c");
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>Chat</title>
<style>${chatStyle()}</style>
</head>
<body>
<header>
<h1 id="model"></h1>
<dl id="figures" aria-live="off">
<div><dt>accepted</dt><dd id="rate">–</dd></div>
<div><dt>accepted length</dt><dd id="length">–</dd></div>
<div><dt>tokens/s</dt><dd id="speed">–</dd></div>
</dl>
<svg id="spark" viewBox="0 0 120 32" preserveAspectRatio="none" role="img" aria-label="accepted tokens of the last rounds"></svg>
</header>
<main id="chat" aria-live="polite"></main>
<form id="ask">
<textarea id="prompt" rows="2" placeholder="Say something" aria-label="message" required></textarea>
<div class="row">
<label>temperature <input id="temperature" type="number" min="0" max="2" step="0.1" value="0"></label>
<label>most tokens <input id="most" type="number" min="1" step="1" value="128"></label>
<label>key <input id="key" type="password" autocomplete="off" placeholder="none"></label>
<label><input id="colour" type="checkbox" checked> colour accepted</label>
<span class="buttons">
<button id="clear" type="button">New chat</button>
<button id="stop" type="button" disabled>Stop</button>
<button id="send">Send</button>
</span>
</div>
</form>
<script type="application/json" id="about">${data}</script>
<script>${chatScript()}</script>
</body>
</html>
`;
}
