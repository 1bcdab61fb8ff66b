/**
 * The backend on WebGPU: every op's WGSL, recorded into one command encoder and handed to the device at a read.
 *
 * @module
 */
import type { Backend } from "../../core/tensor.ts";
import { Webgpu } from "./backend.ts";
import { requestAdapter, requestDevice, type WebgpuOptions } from "./device.ts";

export type { WebgpuOptions } from "./device.ts";

/**
 * Opens the backend on the platform's adapter, with all its limits. Disposing of it destroys the device.
 *
 * @throws {DeviceError} when there is no adapter, or it gives no device
 */
export async function openWebgpu(options: WebgpuOptions = {}): Promise<Backend> {
  const adapter = await requestAdapter(options);
  const device = await requestDevice(adapter);
  return new Webgpu(adapter!, device, options);
}
