/** What `doctor` says of a model: whether it fits this machine's devices, and what to do where it does not. */
import { type DeviceRoom, type Fit, fit, type ModelNeeds, modelNeeds, openVerifier } from "../mod.ts";
import type { Probe } from "../kernels/mod.ts";
import { type Context, runtimeFor, type SharedFlags } from "./context.ts";
import { size } from "./ui.ts";

/** Bytes that WebAssembly addresses, and that one tensor may have there. */
const WASM_TOTAL = 2 ** 32, WASM_TENSOR = 2 ** 31;

/** A device, and whether the model fits it. */
export interface DeviceFit extends Fit {
  /** `webgpu` or `wasm`. */
  readonly device: "webgpu" | "wasm";
  /** What it holds. */
  readonly room: DeviceRoom;
}

/** What is found of a model. */
export interface ModelFit {
  /** Its architectures. */
  readonly architectures: readonly string[];
  /** The plugin that reads it. */
  readonly plugin: string;
  /** What it takes. */
  readonly needs: ModelNeeds;
  /** Each device of this machine. */
  readonly devices: readonly DeviceFit[];
  /** What to do, a sentence each. */
  readonly advice: readonly string[];
}

/** Memory that programs may still take; `null` where the system may not be asked without asking the user. */
async function freeMemory(): Promise<number | null> {
  const { state } = await Deno.permissions.query({ name: "sys", kind: "systemMemoryInfo" });
  return state === "granted" ? Deno.systemMemoryInfo().available : null;
}

function rooms(found: Probe, free: number | null): readonly Pick<DeviceFit, "device" | "room">[] {
  const { webgpu } = found;
  const wasm = { total: Math.min(WASM_TOTAL, free ?? WASM_TOTAL), largest: WASM_TENSOR };
  const largest = webgpu.limits?.["maxBufferSize"] ?? 0;
  // A software adapter computes in the machine's own memory; a GPU does not say how much it has.
  const gpu = { total: webgpu.isFallbackAdapter ? free : null, largest };
  return [
    ...webgpu.available ? [{ device: "webgpu", room: gpu } as const] : [],
    { device: "wasm", room: wasm },
  ];
}

function advise(chosen: DeviceFit, all: readonly DeviceFit[], needs: ModelNeeds): string[] {
  if (chosen.fits !== false) return [];
  const other = all.find(({ device, fits }) => device !== chosen.device && fits !== false);
  const advice = other ? [`Run it with --device ${other.device}, where ${says(other)}`] : [];
  if (needs.weights > needs.total / 2) {
    advice.push("Take it as a GGUF file of 8 or 4 bits (Q8_0, Q4_0), which stay so in memory");
  } else advice.push("Keep sequences short: keys and values are most of it");
  advice.push(
    "Let a vLLM server run it: `engines vllm-command MODEL` prints how to start one, and `datagen --engine vllm` asks it",
  );
  return advice;
}

function says({ fits }: Fit): string {
  return fits === null ? "it may fit: the device does not say how much it holds" : "it fits";
}

/** In words. */
export function fitText({ fits, lacks, room }: DeviceFit, needs: ModelNeeds): string {
  if (lacks === "largest") {
    return `no: a tensor of ${size(needs.largest)}, and no more than ${size(room.largest)} in one`;
  }
  if (fits === null) return "perhaps: the device does not say how much it holds";
  return fits
    ? `yes, in ${size(room.total!)}`
    : `no: it takes ${size(needs.total)}, and there are ${size(room.total!)}`;
}

/** Looks at a model. Its weights' names and shapes are read, not the weights. */
export async function modelFit(
  model: string,
  { found, tokens, flags, context }: {
    readonly found: Probe;
    readonly tokens: number;
    readonly flags: SharedFlags;
    readonly context: Context;
  },
): Promise<ModelFit> {
  const runtime = await runtimeFor(flags, context);
  using opened = await openVerifier(model, runtime);
  const needs = modelNeeds(opened, tokens);
  const devices = rooms(found, await freeMemory()).map((one): DeviceFit => ({
    ...one,
    ...fit(needs, one.room),
  }));
  const asked = flags.device === "auto" ? found.chosen : flags.device;
  const chosen = devices.find(({ device }) => device === asked) ?? devices.at(-1)!;
  return {
    architectures: opened.info.architectures,
    plugin: opened.plugin.name,
    needs,
    devices,
    advice: advise(chosen, devices, needs),
  };
}
