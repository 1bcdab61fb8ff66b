/** Plugins from a URL are pinned: what changes at the host is refused before it runs. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { checkPins } from "../core/plugin_pins.ts";
import { inFolder } from "./cli.ts";
import { serveFolder } from "./serve_folder.ts";

const MAIN = fileURLToPath(new URL("../cli/main.ts", import.meta.url));
const LOCK = "speculators.lock.json";

/** A plugin of several files: an import, one that is loaded later, text, types, and words that only look like imports. */
const FILES: Readonly<Record<string, string>> = {
  "mod.ts": `/** Not there: import "./none.ts"; */
    import { name } from "./name.ts";
    import type { Nothing } from "./types.ts";
    console.log("RAN");
    export default { apiVersion: 1, kind: "logger", name, summary: "A stranger's",
      open: async (): Promise<Nothing> => (await import("./later.ts")).open() };`,
  "name.ts": `export const name = "strange";`,
  "types.ts": `export type Nothing = unknown;`,
  "later.ts": `import code from "./code.wgsl" with { type: "text" }; export const open = () => code;`,
  "code.wgsl": "fn main() {}",
};

/** A host with the plugin, and a working directory. */
async function withHost(
  run: (at: {
    /** Runs `plugins` with the plugin: what it wrote, and its exit code. */
    plugins(
      flags: readonly string[],
      deno?: readonly string[],
    ): Promise<{ code: number; out: string; err: string }>;
    /** Changes a file of the plugin at its host. */
    change(name: string, text: string): Promise<void>;
    /** The lock file's path. */
    readonly lock: string;
    readonly url: string;
  }) => Promise<void>,
): Promise<void> {
  await inFolder(async (at) => {
    await Deno.mkdir(at("host", "plugin"), { recursive: true });
    await Deno.mkdir(at("work"));
    const change = (name: string, text: string) => Deno.writeTextFile(at("host", "plugin", name), text);
    for (const [name, text] of Object.entries(FILES)) await change(name, text);
    const host = serveFolder(at("host")), folder = `${host.url}/plugin`, url = `${folder}/mod.ts`;
    try {
      await run({
        change,
        url,
        lock: at("work", LOCK),
        async plugins(flags, deno = ["-A"]) {
          const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
            // Reloaded: the cache of modules would hide what changed.
            args: [
              "run",
              "--no-check",
              `--reload=${folder}`,
              ...deno,
              MAIN,
              "plugins",
              "--plugin",
              url,
              ...flags,
            ],
            cwd: at("work"),
            stdin: "null",
          }).output();
          const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
          return { code, out: out!, err: err!.replaceAll(/^.*Download.*\n/gm, "") };
        },
      });
    } finally {
      await host.stop();
    }
  });
}

Deno.test("a plugin from a URL is pinned with all its files, and refused when one of them is another", async () => {
  await withHost(async ({ plugins, change, lock, url }) => {
    const unknown = await plugins(["--frozen"]);
    assert.equal(unknown.code, 1);
    assert.match(
      unknown.err,
      /expected a plugin that speculators\.lock\.json knows, .*\nhint: .*without --frozen/,
    );
    assert.doesNotMatch(unknown.out, /RAN/);
    const first = await plugins([]);
    assert.equal(first.code, 0, first.err);
    assert.match(first.err, /^note: Pinned http.*\/mod\.ts \(5 files\) in speculators\.lock\.json\n$/);
    const { version, plugins: pinned } = JSON.parse(await Deno.readTextFile(lock));
    assert.equal(version, 1);
    const base = url.replace("mod.ts", "");
    assert.deepEqual(
      Object.keys(pinned[url]).map((file) => file.replace(base, "")).sort(),
      ["code.wgsl", "later.ts", "mod.ts", "name.ts", "none.ts"],
    );
    assert.equal(pinned[url][`${base}none.ts`], "absent");
    const again = await plugins(["--frozen"]);
    assert.deepEqual([again.code, again.err], [0, ""]);
    assert.match(again.out, /RAN[^]*strange/);
    for (const name of ["code.wgsl", "name.ts", "later.ts"]) {
      await change(name, `${FILES[name]!} /* another */`);
      for (const flags of [[], ["--frozen"]]) {
        const changed = await plugins(flags);
        assert.equal(changed.code, 1, `${name}: ${changed.out}${changed.err}`);
        assert.match(
          changed.err,
          new RegExp(`files pinned in speculators\\.lock\\.json, received another \\S*${name}\n`),
        );
        assert.doesNotMatch(changed.out, /RAN/);
      }
      await change(name, FILES[name]!);
    }
  });
});

Deno.test("without the permission to write a plugin is not pinned, which is said; a damaged lock is refused", async () => {
  await withHost(async ({ plugins, lock }) => {
    const narrow = await plugins([], ["--allow-read", "--allow-import"]);
    assert.equal(narrow.code, 0, narrow.err);
    assert.match(
      narrow.err,
      /^note: http.* is not pinned: no permission to write speculators\.lock\.json\n$/,
    );
    for (const text of [`{"version": 1, "plugins": {"a": 1}}`, "{"]) {
      await Deno.writeTextFile(lock, text);
      const damaged = await plugins([]);
      assert.equal(damaged.code, 1);
      assert.match(damaged.err, /^error: Cannot [^\n]*speculators\.lock\.json[^]*\nhint: /);
      assert.doesNotMatch(damaged.out, /RAN/);
    }
  });
});

Deno.test("an address that leads on to another is not pinned", async () => {
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    ({ url }) =>
      url.endsWith("/there/mod.ts")
        ? new Response("export default 1;", { headers: { "content-type": "application/typescript" } })
        : new Response(null, { status: 302, headers: { location: "/there/mod.ts" } }),
  );
  await inFolder(async (at) => {
    const lock = { path: at(LOCK) }, host = `http://127.0.0.1:${server.addr.port}`;
    await assert.rejects(checkPins(`${host}/here.ts`, lock), /leads on to \/there\/mod\.ts/);
    await assert.rejects(Deno.stat(lock.path), Deno.errors.NotFound);
    await checkPins(`${host}/there/mod.ts`, lock);
    await checkPins(`${host}/there/mod.ts`, { ...lock, frozen: true });
  });
  await server.shutdown();
});

Deno.test("a plugin on this machine is not pinned", async () => {
  await inFolder(async (at) => {
    for (const [name, text] of Object.entries(FILES)) await Deno.writeTextFile(at(name), text);
    const { code } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", MAIN, "plugins", "--plugin", "./mod.ts", "--frozen"],
      cwd: at(),
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).output();
    assert.equal(code, 0);
    await assert.rejects(Deno.stat(join(at(), LOCK)), Deno.errors.NotFound);
  });
});
