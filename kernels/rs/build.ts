// deno-lint-ignore-file no-console -- a script speaks to the terminal
/**
 * `deno task wasm` builds the Rust kernels into `kernels/lib/`; `--check` compares the committed files with the hashes
 * written beside them, and needs no Rust.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";

/** What `kernels/lib/hashes.json` holds: SHA-256 of the sources together, and of each built file. */
interface Hashes {
  readonly source: string;
  readonly files: Readonly<Record<string, string>>;
}

/** One build of the crate. */
interface Variant {
  readonly name: string;
  readonly features: readonly string[];
  readonly link: readonly string[];
}

const RS: string = fileURLToPath(new URL(".", import.meta.url));
const LIB: string = fileURLToPath(new URL("../lib", import.meta.url));
const SOURCES = ["Cargo.toml", "Cargo.lock", "rust-toolchain.toml", "build.ts", "src", "xtask/Cargo.toml", "xtask/src"];
const BASE = ["bulk-memory", "mutable-globals", "nontrapping-fptoint", "sign-ext", "simd128"];

const VARIANTS: readonly Variant[] = [
  {
    name: "threads",
    features: [...BASE, "atomics", "relaxed-simd"],
    link: [
      "--shared-memory",
      "--import-memory",
      "--max-memory=4294967296",
      "--export=__wasm_init_tls",
      "--export=__tls_size",
      "--export=__tls_align",
      "--export=__tls_base",
    ],
  },
  { name: "single", features: BASE, link: ["--max-memory=4294967296"] },
];

function hash(parts: Iterable<Uint8Array | string>): string {
  const digest = createHash("sha256");
  for (const part of parts) digest.update(part);
  return digest.digest("hex");
}

/** Paths of all files below some paths of the crate, in a fixed order. */
function list(paths: readonly string[]): string[] {
  return paths.flatMap((path) => {
    if (Deno.statSync(`${RS}/${path}`).isFile) return [path];
    const names = [...Deno.readDirSync(`${RS}/${path}`)].map((entry) => `${path}/${entry.name}`);
    return list(names.sort());
  });
}

function sourceHash(): string {
  return hash(list(SOURCES).flatMap((path) => [path, "\0", Deno.readFileSync(`${RS}/${path}`)]));
}

/** Hashes of the built files that lie in the folder now. */
function fileHashes(): Record<string, string> {
  const names = VARIANTS.flatMap(({ name }) => [
    `${name}.js`,
    `${name}.d.ts`,
    `${name}_bg.wasm`,
    `${name}_bg.wasm.d.ts`,
  ]);
  return Object.fromEntries(names.map((name) => [name, hash([Deno.readFileSync(`${LIB}/${name}`)])]));
}

function execute(command: string, args: readonly string[], env: Record<string, string> = {}): void {
  const { success, code } = new Deno.Command(command, {
    args: [...args],
    cwd: RS,
    env,
    stdout: "inherit",
    stderr: "inherit",
  }).outputSync();
  if (!success) {
    console.error(`Cannot build the kernels: "${command} ${args[0]}" ended with code ${code}`);
    Deno.exit(1);
  }
}

/** Builds everything with the toolchain that rust-toolchain.toml names; rustup installs it when it is missing. */
function build(): void {
  const there = new Deno.Command("rustc", { args: ["--version"], cwd: RS, stderr: "null" }).outputSync().success;
  if (!there) execute("rustup", ["toolchain", "install"]);
  const target = "wasm32-unknown-unknown";
  execute("cargo", ["build", "--release", "-p", "xtask", "--locked"]);
  for (const { name, features, link } of VARIANTS) {
    const flags = [
      `-C target-feature=${features.map((feature) => `+${feature}`).join(",")}`,
      // A panic is a trap without words, so that no path of the building machine is in the file.
      "-Z unstable-options -C panic=immediate-abort",
      ...link.map((argument) => `-C link-arg=${argument}`),
    ];
    const folder = `target/${name}`;
    execute("cargo", [
      "build",
      "--release",
      "--locked",
      "-p",
      "kernels",
      "-Z",
      "build-std=std,panic_abort",
      "--target",
      target,
      "--target-dir",
      folder,
    ], { RUSTFLAGS: flags.join(" ") });
    execute("target/release/xtask", [`${folder}/${target}/release/kernels.wasm`, name, LIB]);
  }
  const hashes: Hashes = { source: sourceHash(), files: fileHashes() };
  Deno.writeTextFileSync(`${LIB}/hashes.json`, `${JSON.stringify(hashes, null, 2)}\n`);
}

/** Whether the built files are those of the sources; says what differs. */
function check(): boolean {
  const recorded = JSON.parse(Deno.readTextFileSync(`${LIB}/hashes.json`)) as Hashes;
  const found = fileHashes();
  const changed = Object.keys(found).filter((name) => found[name] !== recorded.files[name]);
  if (recorded.source !== sourceHash()) changed.unshift("the Rust sources");
  for (const name of changed) {
    console.error(`Cannot trust kernels/lib: ${name} differs from what was recorded; run "deno task wasm"`);
  }
  return changed.length === 0;
}

if (import.meta.main) {
  if (!Deno.args.includes("--check")) build();
  else if (check()) console.log("kernels/lib is up to date");
  else Deno.exit(1);
}
