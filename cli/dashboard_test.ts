import assert from "node:assert/strict";
import { RunReport } from "../mod.ts";
import { openDashboard } from "./dashboard.ts";

function report(): RunReport {
  return new RunReport({ name: "try", folder: "unused", settings: {} });
}

const numbers = (step: number) =>
  ({ type: "metrics", stage: "train", split: "train", step, epoch: 0, values: { loss_0: step } }) as const;

Deno.test("the page and its news are served, what did not change is not sent again", async () => {
  const shown = report();
  await using page = openDashboard(shown, 0);
  const html = await (await fetch(page.address)).text();
  assert.match(html, /^<!DOCTYPE html>[^]*<h1>Training of try<\/h1>/);
  await shown.take(numbers(0));
  const first = await fetch(new URL("/content", page.address)), tag = first.headers.get("etag")!;
  assert.match(await first.text(), /Loss per TTT step/);
  const again = () => fetch(new URL("/content", page.address), { headers: { "if-none-match": tag } });
  assert.deepEqual([(await again()).status, first.headers.get("cache-control")], [304, "no-store"]);
  await shown.take(numbers(1));
  const news = await again();
  assert.equal(news.status, 200);
  await news.body?.cancel();
});

Deno.test("other names, other paths and other methods are refused", async () => {
  await using page = openDashboard(report(), 0);
  const { port } = new URL(page.address);
  const ask = async (head: string): Promise<string> => {
    using connection = await Deno.connect({ hostname: "127.0.0.1", port: Number(port) });
    await connection.write(new TextEncoder().encode(`${head}\r\nConnection: close\r\n\r\n`));
    return (await new Response(connection.readable).text()).split("\r\n")[0]!;
  };
  assert.match(await ask(`GET / HTTP/1.1\r\nHost: localhost:${port}`), / 200 /);
  assert.match(await ask(`GET / HTTP/1.1\r\nHost: evil.example:${port}`), / 403 /);
  assert.match(await ask(`GET /../../etc/passwd HTTP/1.1\r\nHost: localhost:${port}`), / 40\d /);
  assert.match(await ask(`POST / HTTP/1.1\r\nHost: localhost:${port}\r\nContent-Length: 0`), / 405 /);
});

Deno.test("the run's end waits for no request that is never finished", async () => {
  const page = openDashboard(report(), 0), { port } = new URL(page.address);
  using connection = await Deno.connect({ hostname: "127.0.0.1", port: Number(port) });
  await connection.write(
    new TextEncoder().encode(`POST /content HTTP/1.1\r\nHost: localhost:${port}\r\nContent-Le`),
  );
  const start = performance.now();
  await page[Symbol.asyncDispose]();
  assert.ok(performance.now() - start < 5_000);
});

Deno.test("a port that is taken is refused with what to do", async () => {
  await using page = openDashboard(report(), 0);
  assert.throws(() => openDashboard(report(), Number(new URL(page.address).port)), {
    code: "E_CONFIG",
    message: /"--dashboard": expected a port that is free/,
    hint: /Leave the port out/,
  });
});
