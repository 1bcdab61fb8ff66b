/** Compiled kernels, by their text. */

/** A compiled kernel. */
export interface Pipeline {
  /** The pipeline. */
  readonly pipeline: GPUComputePipeline;
  /** Layout of its one bind group. */
  readonly layout: GPUBindGroupLayout;
}

/** What went wrong when a kernel was compiled: the compiler's messages with the lines they speak of. */
export interface CompileReport {
  /** Errors, one a line; empty when all is well. */
  readonly message: string;
}

const STORAGE = /@binding\(\s*(\d+)\s*\)\s*var\s*<\s*storage\s*,\s*read_write\s*>/g;

/** Which storage bindings a kernel's text declares as writable. */
export function writable(code: string): Set<number> {
  const text = code.replaceAll(/\/\/.*$/gm, "");
  return new Set([...text.matchAll(STORAGE)].map((match) => Number(match[1])));
}

/** Compiles each text once. */
export class Pipelines {
  readonly #device: GPUDevice;
  readonly #report: (op: string, problem: Promise<string | null>) => void;
  readonly #byCode = new Map<string, Pipeline[]>(); // by the number of bindings
  readonly #layouts = new Map<string, GPUBindGroupLayout>();

  constructor(device: GPUDevice, report: (op: string, problem: Promise<string | null>) => void) {
    this.#device = device;
    this.#report = report;
  }

  /** Kernels compiled so far. */
  get size(): number {
    return this.#byCode.size;
  }

  /** The kernel of a text with `bindings` storage buffers and, where `uniform`, the parameters after them. */
  get(op: string, code: string, bindings: number, uniform: boolean): Pipeline {
    const slot = 2 * bindings + Number(uniform);
    const known = this.#byCode.get(code) ?? [];
    if (known[slot]) return known[slot];
    const device = this.#device;
    device.pushErrorScope("validation");
    const layout = this.#layout(writable(code), bindings, uniform);
    const module = device.createShaderModule({ label: op, code });
    const pipeline = device.createComputePipeline({
      label: op,
      layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module, entryPoint: "main" },
    });
    this.#report(op, explain(device.popErrorScope(), module, code));
    const made = { pipeline, layout };
    known[slot] = made;
    this.#byCode.set(code, known);
    return made;
  }

  #layout(written: ReadonlySet<number>, bindings: number, uniform: boolean): GPUBindGroupLayout {
    const types: GPUBufferBindingLayout[] = [];
    for (let i = 0; i < bindings; i++) types.push({ type: written.has(i) ? "storage" : "read-only-storage" });
    if (uniform) types.push({ type: "uniform", hasDynamicOffset: true });
    const key = types.map(({ type }) => type).join();
    const known = this.#layouts.get(key);
    if (known) return known;
    const visibility = 4; // COMPUTE
    const layout = this.#device.createBindGroupLayout({
      entries: types.map((buffer, binding) => ({ binding, visibility, buffer })),
    });
    this.#layouts.set(key, layout);
    return layout;
  }
}

/** The error of a scope with the compiler's own messages and the lines of the text they point at. */
async function explain(
  scope: Promise<GPUError | null>,
  module: GPUShaderModule,
  code: string,
): Promise<string | null> {
  const error = await scope;
  if (!error) return null;
  const { messages } = await module.getCompilationInfo();
  const lines = code.split("\n");
  const found = messages.filter(({ type }) => type === "error").map(({ lineNum, linePos, message }) => {
    const around = lines.slice(Math.max(0, lineNum - 3), lineNum + 2)
      .map((line, i) => `${Math.max(1, lineNum - 2) + i} | ${line}`);
    return `line ${lineNum}:${linePos}: ${message.trim()}\n${around.join("\n")}`;
  });
  return found.length > 0 ? found.join("\n") : error.message.trim();
}
