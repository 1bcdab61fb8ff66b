/** Finding an adapter, opening a device with the adapter's limits, telling real from software adapters. */
import { DeviceError } from "../../core/errors.ts";

/** How the backend opens its device. */
export interface WebgpuOptions {
  /** Which of several adapters: `high-performance` if absent. */
  readonly powerPreference?: "high-performance" | "low-power";
  /** Bytes of freed buffers kept for reuse; 256 MiB if absent. */
  readonly poolBytes?: number;
  /** Bytes that one binding may cover; the adapter's limit if absent. Larger tensors are worked in blocks. */
  readonly maxBinding?: number;
}

/** Limits that computing needs; the adapter's own values are asked for. */
const LIMITS = [
  "maxBindingsPerBindGroup",
  "maxBufferSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupSizeY",
  "maxComputeWorkgroupSizeZ",
  "maxComputeWorkgroupStorageSize",
  "maxComputeWorkgroupsPerDimension",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "minStorageBufferOffsetAlignment",
  "minUniformBufferOffsetAlignment",
] as const;

/** What is known of an adapter. */
export interface AdapterFacts {
  /** Name of the device and its driver. */
  readonly description: string;
  /** A software adapter, or one the platform calls a fallback. */
  readonly isFallbackAdapter: boolean;
  /** Names of its features. */
  readonly features: readonly string[];
  /** The limits that computing needs. */
  readonly limits: Readonly<Record<string, number>>;
}

/** The adapter, or `null` where the platform has none. */
export async function requestAdapter(options: WebgpuOptions = {}): Promise<GPUAdapter | null> {
  const gpu = (globalThis.navigator as Navigator | undefined)?.gpu;
  if (!gpu) return null;
  const { powerPreference = "high-performance" } = options;
  return await gpu.requestAdapter({ powerPreference });
}

/** Describes an adapter. */
export function adapterFacts(adapter: GPUAdapter): AdapterFacts {
  const { info } = adapter;
  const description = [info.description, info.vendor, info.architecture].find((text) => text) ??
    "unknown adapter";
  const limits: Record<string, number> = {};
  for (const name of LIMITS) limits[name] = Number(adapter.limits[name]);
  return {
    description,
    isFallbackAdapter: info.isFallbackAdapter ||
      /llvmpipe|lavapipe|swiftshader|basic render/i.test(description),
    features: [...adapter.features].sort(),
    limits,
  };
}

/**
 * Opens the device of an adapter with all its limits.
 *
 * @throws {DeviceError} when there is no adapter, or it gives no device
 */
export async function requestDevice(adapter: GPUAdapter | null): Promise<GPUDevice> {
  if (!adapter) {
    throw new DeviceError("Cannot open WebGPU: expected a GPU adapter, received none", {
      hint:
        "Install a Vulkan, Metal or Direct3D driver (Debian without a GPU: mesa-vulkan-drivers), or use --device wasm",
    });
  }
  const { limits } = adapterFacts(adapter);
  try {
    return await adapter.requestDevice({ requiredLimits: limits });
  } catch (cause) {
    throw new DeviceError("Cannot open WebGPU: the adapter gave no device", {
      cause,
      hint: "Another process may hold the GPU; use --device wasm to compute on the CPU",
    });
  }
}
