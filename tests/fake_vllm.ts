/**
 * Stands in for `vllm serve`: answers chats, counts as vLLM counts, and starts a process that it leaves behind.
 *
 *     deno run -A tests/fake_vllm.ts serve MODEL --port N [--speculative-config JSON] [--slow-start MS] [--die]
 */
const args = Deno.args,
  flag = (name: string) => args.includes(name) ? args[args.indexOf(name) + 1] : undefined;
const speculative = flag("--speculative-config");
const draft = speculative ? JSON.parse(speculative) as { num_speculative_tokens: number } : null;
const counts = { drafts: 0, tokens: 0, accepted: 0, perPosition: [0, 0, 0, 0, 0, 0, 0, 0] };

/** A text of nine tokens: with a draft, each round proposes k and accepts all of even ones, none of odd ones. */
function count(): void {
  const k = draft?.num_speculative_tokens ?? 0;
  if (k === 0) return;
  for (let round = 0; round < 4; round++) {
    counts.drafts++;
    counts.tokens += k;
    if (round % 2 === 0) {
      counts.accepted += k;
      for (let i = 0; i < k; i++) counts.perPosition[i]!++;
    }
  }
}

function metrics(): string {
  const label = 'engine="0",model_name="m"', lines = ['vllm:num_requests_running{engine="0"} 0.0'];
  if (draft) {
    lines.push(
      `vllm:spec_decode_num_drafts_total{${label}} ${counts.drafts}.0`,
      `vllm:spec_decode_num_draft_tokens_total{${label}} ${counts.tokens}.0`,
      `vllm:spec_decode_num_accepted_tokens_total{${label}} ${counts.accepted}.0`,
      ...counts.perPosition.slice(0, draft.num_speculative_tokens).map((n, i) =>
        `vllm:spec_decode_num_accepted_tokens_per_pos_total{${label},position="${i}"} ${n}.0`
      ),
    );
  }
  return lines.join("\n") + "\n";
}

function chat(): Response {
  count();
  const events = [
    ...Array.from({ length: 9 }, (_, i) => ({ choices: [{ delta: { content: `w${i} ` } }] })),
    { choices: [], usage: { prompt_tokens: 5, completion_tokens: 9 } },
  ].map((event) => `data: ${JSON.stringify(event)}\n\n`);
  return new Response([...events, "data: [DONE]\n\n"].join(""));
}

if (import.meta.main) {
  // deno-lint-ignore no-console -- the log that is kept
  console.log(`serving ${args[1]}`);
  if (args.includes("--die")) Deno.exit(3);
  const child = new Deno.Command("sleep", { args: ["300"], stdin: "null" }).spawn();
  // deno-lint-ignore no-console -- the test looks for the process
  console.log(`child ${child.pid}`);
  await new Promise((resolve) => setTimeout(resolve, Number(flag("--slow-start") ?? 0)));
  Deno.serve({ port: Number(flag("--port")), hostname: "127.0.0.1", onListen() {} }, async (request) => {
    await request.text();
    switch (new URL(request.url).pathname) {
      case "/health":
        return new Response(null);
      case "/metrics":
        return new Response(metrics());
      case "/v1/models":
        return Response.json({ data: [{ id: "m", max_model_len: 1024 }] });
      case "/v1/chat/completions":
        return chat();
      default:
        return new Response(null, { status: 404 });
    }
  });
}
