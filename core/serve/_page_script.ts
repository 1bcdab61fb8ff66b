/** The program of the page to chat on. */

/** The script. All text enters the page as text. */
export function chatScript(): string {
  return `(() => {
"use strict";
const byId = (id) => document.getElementById(id);
const about = JSON.parse(byId("about").textContent), chat = byId("chat"), messages = [], rounds = [];
const total = { rounds: 0, proposed: 0, accepted: 0 };
let under = null;
byId("model").textContent = about.model;
document.title = "Chat with " + about.model;
if (!about.speculates) for (const id of ["rate", "length"]) byId(id).textContent = "no draft";
byId("spark").hidden = !about.speculates;

function add(kind, text) {
  const turn = document.createElement("div");
  turn.className = "turn " + kind;
  turn.textContent = text;
  chat.append(turn);
  chat.scrollTop = chat.scrollHeight;
  return turn;
}

function figures(tokens, milliseconds) {
  if (total.rounds > 0) {
    byId("rate").textContent = (100 * total.accepted / total.proposed).toFixed(0) + " %";
    byId("length").textContent = (1 + total.accepted / total.rounds).toFixed(2);
  }
  if (milliseconds > 0 && tokens > 1) byId("speed").textContent = (1000 * (tokens - 1) / milliseconds).toFixed(0);
  const last = rounds.slice(-40), space = "http://www.w3.org/2000/svg";
  byId("spark").replaceChildren(...last.map(({ proposed, accepted }, i) => {
    const bar = document.createElementNS(space, "rect"), height = 2 + 30 * accepted / Math.max(1, proposed);
    for (const [name, value] of Object.entries({ x: 3 * i, y: 32 - height, width: 2, height })) bar.setAttribute(name, value);
    return bar;
  }));
}

async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\\n\\n");
    rest = parts.pop();
    for (const part of parts) if (part.startsWith("data: ") && part !== "data: [DONE]") yield JSON.parse(part.slice(6));
  }
}

async function answer() {
  const turn = add("assistant", ""), key = byId("key").value;
  turn.classList.toggle("coloured", byId("colour").checked);
  const body = {
    model: about.model, messages, stream: true, stream_options: { include_usage: true }, return_accepted: true,
    temperature: Number(byId("temperature").value), max_completion_tokens: Number(byId("most").value),
  };
  const response = await fetch("v1/chat/completions", {
    method: "POST", signal: under.signal, body: JSON.stringify(body),
    headers: { "content-type": "application/json", ...(key === "" ? {} : { authorization: "Bearer " + key }) },
  });
  if (!response.ok) {
    const found = await response.json().catch(() => null);
    throw new Error(found?.error?.message ?? "status " + response.status);
  }
  let text = "", first = 0, last = 0, usage = null, tokens = 0;
  try {
    for await (const event of events(response)) {
      if (event.error) throw new Error(event.error.message);
      usage = event.usage ?? usage;
      const found = event.choices[0]?.speculation;
      if (!found) continue;
      last = performance.now();
      first ||= last;
      for (const piece of found.pieces) {
        const span = document.createElement("span");
        if (piece.accepted) span.className = "accepted";
        span.textContent = piece.text;
        turn.append(span);
        text += piece.text;
      }
      tokens += 1 + found.accepted;
      if (found.proposed > 0) {
        total.rounds++;
        total.proposed += found.proposed;
        total.accepted += found.accepted;
        rounds.push(found);
      }
      figures(tokens, last - first);
      chat.scrollTop = chat.scrollHeight;
    }
  } finally {
    if (messages.at(-1)?.role === "user") messages.push({ role: "assistant", content: text });
  }
  if (!usage) return;
  const accepted = usage.completion_tokens_details.accepted_prediction_tokens, note = document.createElement("small");
  note.textContent = usage.completion_tokens + " tokens" + (about.speculates ? ", " + accepted + " of them proposed by the draft" : "");
  turn.append(note);
}

byId("ask").onsubmit = async (event) => {
  event.preventDefault();
  const prompt = byId("prompt").value.trim();
  if (under || prompt === "") return;
  under = new AbortController();
  byId("stop").disabled = false;
  byId("send").disabled = true;
  byId("prompt").value = "";
  messages.push({ role: "user", content: prompt });
  add("user", prompt);
  try {
    await answer();
  } catch (error) {
    if (error.name !== "AbortError") {
      if (messages.at(-1)?.role === "user") messages.pop();
      add("failed", error.message);
    }
  }
  under = null;
  byId("stop").disabled = true;
  byId("send").disabled = false;
  byId("prompt").focus();
};
byId("prompt").onkeydown = (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  byId("ask").requestSubmit();
};
byId("stop").onclick = () => under?.abort();
byId("clear").onclick = () => {
  under?.abort();
  messages.length = 0;
  chat.replaceChildren();
};
byId("colour").onchange = () => {
  for (const turn of chat.querySelectorAll(".assistant")) turn.classList.toggle("coloured", byId("colour").checked);
};
byId("prompt").focus();
})();`;
}
