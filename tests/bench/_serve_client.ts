/** The clients of the serving benchmark, in a thread of their own: what they cost is not the server's. */
/// <reference lib="deno.worker" />
import { type LoadRunOptions, runLoad } from "../../mod.ts";

self.onmessage = async ({ data }: MessageEvent<LoadRunOptions>) => self.postMessage(await runLoad(data));
