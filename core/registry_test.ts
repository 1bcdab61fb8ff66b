import assert from "node:assert/strict";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { ConfigError, NotFoundError, PluginError } from "./errors.ts";
import type { LoggerPlugin, LoggerRun, VerifierPlugin } from "./plugin.ts";
import { createRegistry, type PluginEntry } from "./registry.ts";

const RUN: LoggerRun = { name: "run", folder: ".", settings: {} };

function logger(name: string, change: Record<string, unknown> = {}): Record<string, unknown> {
  return { apiVersion: 1, kind: "logger", name, summary: "logs", open: () => Promise.resolve({}), ...change };
}

function verifier(name: string, matches: VerifierPlugin["matches"]): Record<string, unknown> {
  const load = () => Promise.resolve({});
  return { apiVersion: 1, kind: "verifier", name, summary: "reads", architectures: [name], matches, load };
}

function entry(plugin: Record<string, unknown>, load?: PluginEntry["load"]): PluginEntry {
  const { kind, name, summary } = plugin as unknown as LoggerPlugin;
  return { kind, name, summary, load: load ?? (() => Promise.resolve({ default: plugin })) };
}

function never(): Promise<never> {
  throw new Error("must not be loaded");
}

async function withModule(
  text: string,
  body: (folder: string, file: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(join(folder, "plugin.ts"), text);
    await body(folder, join(folder, "plugin.ts"));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const MODULE =
  `export default { apiVersion: 1, kind: "logger", name: "mine", summary: "m", open: () => {} };`;

Deno.test("listing a registry loads nothing", () => {
  const registry = createRegistry([entry(logger("a"), never), entry(verifier("b", () => true), never)]);
  assert.deepEqual(registry.list().map((entry) => entry.name), ["a", "b"]);
  assert.deepEqual(registry.list("verifier").map((entry) => entry.name), ["b"]);
  assert.deepEqual(registry.list("engine"), []);
});

Deno.test("get loads a plugin by kind and name", async () => {
  const registry = createRegistry([entry(logger("a")), entry(verifier("a", () => true))]);
  assert.equal((await registry.get("verifier", "a")).kind, "verifier");
  assert.equal((await registry.get("logger", "a")).summary, "logs");
});

Deno.test("an unknown name lists the known ones and the nearest", async () => {
  const registry = createRegistry([entry(logger("jsonl"), never), entry(logger("wandb"), never)]);
  await assert.rejects(registry.get("logger", "jsnol"), (error) => {
    assert(error instanceof NotFoundError);
    assert.match(error.message, /known are jsonl, wandb/);
    assert.equal(error.hint, 'Did you mean "jsonl"?');
    return true;
  });
  await assert.rejects(registry.get("draft", "wandb"), (error) => {
    assert(error instanceof NotFoundError);
    assert.match(error.message, /no draft plugin is known/);
    assert.match(error.hint!, /it is a logger plugin/);
    return true;
  });
});

Deno.test("with gives a new registry, leaves the old one and refuses a name that is taken", () => {
  const old = createRegistry([entry(logger("a"))]);
  const grown = old.with(entry(logger("b")));
  assert.deepEqual([old.list().length, grown.list().length], [1, 2]);
  assert.throws(() => grown.with(entry(logger("a"))), PluginError);
  assert.equal(grown.with(entry(verifier("a", () => true))).list().length, 3);
});

Deno.test("a plugin of the wrong shape is refused with what is missing", async () => {
  const cases: [unknown, RegExp][] = [
    [undefined, /expected an object, received nothing/],
    [[], /expected an object, received a list/],
    [logger("a", { apiVersion: 2 }), /expected apiVersion 1, received 2/],
    [logger("a", { kind: "loger" }), /one of draft, verifier, engine, logger, loss, received "loger"/],
    [logger("a", { open: undefined }), /a logger plugin to have "open", a function, received nothing/],
    [logger("a", { summary: "" }), /to have "summary", a text, received ""/],
    [logger("A b"), /a name in snake_case, received "A b"/],
    [logger("b"), /the logger plugin "a", received the logger plugin "b"/],
    [
      { ...verifier("a", () => true), architectures: [1] },
      /"architectures", a list of texts, received a list/,
    ],
  ];
  for (const [plugin, expected] of cases) {
    const registry = createRegistry([entry(logger("a"), () => Promise.resolve({ default: plugin }))]);
    await assert.rejects(registry.get("logger", "a"), (error) => {
      assert(error instanceof PluginError);
      assert.match(error.message, expected);
      return true;
    });
  }
});

Deno.test("a module that cannot be loaded is a PluginError with its cause", async () => {
  const cause = new SyntaxError("bad module");
  const registry = createRegistry([entry(logger("a"), () => Promise.reject(cause))]);
  await assert.rejects(registry.get("logger", "a"), (error) => {
    assert(error instanceof PluginError);
    assert.equal(error.cause, cause);
    return true;
  });
});

Deno.test("what a plugin throws or gives at open is told with its name", async () => {
  async function open(member: () => unknown): Promise<unknown> {
    const plugin = await createRegistry([entry(logger("a", { open: member }))]).get("logger", "a");
    return await plugin.open(RUN);
  }
  await assert.rejects(open(() => Promise.reject(new TypeError("boom"))), (error) => {
    assert(error instanceof PluginError);
    assert.match(error.message, /"a": expected open\(\) to succeed, received TypeError: boom/);
    assert(error.cause instanceof TypeError);
    return true;
  });
  await assert.rejects(open(() => ({ log() {} })), /what open\(\) gives to have "close", a function/);
  await assert.rejects(open(() => null), /what open\(\) gives to be an object, received null/);
  const own = new ConfigError("key", "expected a key");
  await assert.rejects(open(() => Promise.reject(own)), (error) => error === own);
});

Deno.test("a draft that is trainable must have an objective, another need not", async () => {
  const noop = () => {};
  const code = { schema: {}, configure: noop, needs: noop, tensors: noop, initialise: noop, proposer: noop };
  async function load(trainable: boolean): Promise<unknown> {
    const load = () => Promise.resolve(code);
    const plugin = { apiVersion: 1, kind: "draft", name: "a", summary: "proposes", trainable, load };
    return await (await createRegistry([entry(plugin)]).get("draft", "a")).load();
  }
  assert.equal(await load(false), code);
  await assert.rejects(load(true), /what load\(\) gives to have "objective", a function, received nothing/);
});

Deno.test("find takes the first that matches and loads no further", async () => {
  const registry = createRegistry([
    entry(verifier("no", () => false)),
    entry(verifier("yes", (config) => config.model_type === "x")),
    entry(verifier("later", () => true), never),
  ]);
  const found = await registry.find("verifier", (plugin) => plugin.matches({ model_type: "x" }));
  assert.equal(found?.name, "yes");
  assert.equal(await createRegistry().find("verifier", () => true), undefined);
  const broken = createRegistry([
    entry(verifier("bad", () => (undefined as unknown as Set<string>).has("x"))),
  ]);
  await assert.rejects(broken.find("verifier", (plugin) => plugin.matches({})), /the plugin "bad"/);
});

Deno.test("import takes a path from a base, an absolute path and a file URL", async () => {
  await withModule(MODULE, async (folder, file) => {
    const url = pathToFileURL(file).href;
    const ways: [string, { base?: string | URL }][] = [
      ["./plugin.ts", { base: folder }],
      ["./plugin.ts", { base: pathToFileURL(folder) }],
      [file, {}],
      [url, {}],
    ];
    for (const [specifier, options] of ways) {
      const registry = await createRegistry().import(specifier, options);
      assert.deepEqual(registry.list().map(({ name, source }) => [name, source]), [["mine", url]]);
      assert.equal((await registry.get("logger", "mine")).name, "mine");
    }
  });
});

Deno.test("import takes a module over HTTP", async () => {
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    () => new Response(MODULE, { headers: { "content-type": "text/typescript" } }),
  );
  try {
    const registry = await createRegistry().import(`http://127.0.0.1:${server.addr.port}/mine.ts`);
    assert.deepEqual(registry.list().map((entry) => entry.name), ["mine"]);
  } finally {
    await server.shutdown();
  }
});

Deno.test("import takes a list of plugins, and refuses an empty one and a taken name", async () => {
  const other = MODULE.replace("export default", "const other =").replace(`"mine"`, `"other"`);
  const list = `${MODULE.replace("export default", "const mine =")}\n${other}\nexport default [mine, other];`;
  await withModule(list, async (_, file) => {
    const registry = await createRegistry().import(file);
    assert.deepEqual(registry.list().map((entry) => entry.name), ["mine", "other"]);
    await assert.rejects(registry.import(file), /received "mine", which came from "file:/);
  });
  await withModule("export default [];", async (_, file) => {
    await assert.rejects(createRegistry().import(file), /received an empty list/);
  });
});

Deno.test("import tells what is wrong with a specifier or a module", async () => {
  await assert.rejects(createRegistry().import("plugin.ts"), (error) => {
    assert(error instanceof PluginError);
    assert.match(error.message, /received a bare name/);
    assert.match(error.hint!, /"\.\/plugin\.ts"/);
    return true;
  });
  await assert.rejects(createRegistry().import("./missing.ts"), (error) => {
    assert(error instanceof PluginError);
    assert(error.cause instanceof Error);
    return true;
  });
  await withModule("export const plugin = 1;", async (_, file) => {
    await assert.rejects(createRegistry().import(file), /expected a default export, received only plugin/);
  });
  await withModule("throw new RangeError('no');", async (_, file) => {
    await assert.rejects(createRegistry().import(file), /expected its module to load, received no/);
  });
});
