/** The page to chat on, in a real browser. */
import assert from "node:assert/strict";
import { browserMissing, chromium, inBrowser, type View } from "./browser.ts";
import { post, withServer } from "./serve.ts";

const ignore = chromium() === null, without = browserMissing();

/** Writes something and waits for the answer's end. */
async function say(view: View, text: string): Promise<void> {
  const before = await view.value<number>("document.querySelectorAll('.assistant small').length");
  await view.page.type("#prompt", text);
  await view.page.keyboard.press("Enter");
  await view.until(`document.querySelectorAll('.assistant small').length > ${before}`);
}

Deno.test({
  name: "the page streams a chat, colours what was accepted, and shows live acceptance" + without,
  ignore,
  fn: () =>
    withServer(async (server) => {
      const messages = [{ role: "user", content: "Good morrow, my lord." }];
      const body = { messages, temperature: 0, max_tokens: 128 };
      const { choices: [{ message }], usage } = await (await post(server, "/v1/chat/completions", body))
        .json();
      await inBrowser(`${server.address}/`, async (view) => {
        assert.equal(await view.value("document.querySelector('h1').textContent"), "tiny-verifier");
        await say(view, messages[0]!.content);
        const pieces = await view.value<{ text: string; accepted: boolean; back: string }[]>(
          `[...document.querySelectorAll(".assistant span")].map((span) => ({ text: span.textContent,
            accepted: span.className === "accepted", back: getComputedStyle(span).backgroundColor }))`,
        );
        assert.equal(pieces.map(({ text }) => text).join(""), message.content);
        assert.ok(pieces.some(({ accepted }) => accepted) && pieces.some(({ accepted }) => !accepted));
        for (const { accepted, back } of pieces) assert.equal(back !== "rgba(0, 0, 0, 0)", accepted);
        const { accepted_prediction_tokens: accepted, rejected_prediction_tokens: rejected } =
          usage.completion_tokens_details;
        const rate = `${(100 * accepted / (accepted + rejected)).toFixed(0)} %`;
        assert.equal(await view.value("document.getElementById('rate').textContent"), rate);
        const length = await view.value<string>("document.getElementById('length').textContent");
        assert.equal(length, (1 + 3 * accepted / (accepted + rejected)).toFixed(2));
        assert.ok(await view.value<number>("document.querySelectorAll('#spark rect').length") > 2);
        assert.match(
          await view.value<string>("document.querySelector('.assistant small').textContent"),
          new RegExp(`^${usage.completion_tokens} tokens, ${accepted} of them`),
        );
        await say(view, "Who art thou?");
        assert.equal(await view.value("document.querySelectorAll('.turn').length"), 4);
        const shot = Deno.env.get("SERVE_SCREENSHOT");
        if (shot) await Deno.writeFile(shot, await view.page.screenshot({ type: "png" }));
        await view.page.click("#colour");
        assert.equal(await view.value("document.querySelectorAll('.coloured').length"), 0);
        await view.page.click("#clear");
        assert.equal(await view.value("document.querySelectorAll('.turn').length"), 0);
        assert.deepEqual(view.troubles, []);
      }, { width: 900, height: 640 });
    }),
});

Deno.test({
  name: "the page shows markup as text, stops on request, says what went wrong, and fits a phone" + without,
  ignore,
  fn: () =>
    withServer(async (server) => {
      await inBrowser(`${server.address}/`, async (view) => {
        await view.page.type("#prompt", "<img src=x onerror=\"document.title='broken into'\">");
        await view.page.click("#send");
        await view.until("document.querySelector('.failed')");
        assert.match(
          await view.value<string>("document.querySelector('.failed').textContent"),
          /^Expected a key/,
        );
        assert.equal(await view.value("document.querySelectorAll('img').length"), 0);
        await view.page.type("#key", "secret");
        await view.value("document.getElementById('most').value = '900'");
        await view.page.type("#prompt", "Tell me all.");
        await view.page.click("#send");
        await view.until(
          "document.querySelectorAll('.assistant span').length > 0 || document.querySelector('.assistant small')",
        );
        await view.page.click("#stop");
        await view.until("document.getElementById('stop').disabled");
        await say(view, "And then?");
        assert.ok(
          await view.value<number>("document.documentElement.scrollWidth") <= 360,
          "it scrolls sideways",
        );
        // The browser itself tells of the status 401.
        assert.deepEqual(view.troubles.filter((trouble) => !trouble.includes("401")), []);
        assert.notEqual(await view.value("document.title"), "broken into");
      }, { width: 360, height: 640, dark: true });
    }, { apiKey: "secret" }),
});
