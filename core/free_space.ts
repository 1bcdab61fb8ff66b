/** Room on a disk. */
import { statfs } from "node:fs/promises";

/**
 * Bytes that may still be written where a folder lies; `null` where the system does not say, or may not be asked without
 * asking the user.
 */
export async function freeSpace(folder: string): Promise<number | null> {
  const descriptor = { name: "sys", kind: "statfs" } as unknown as Deno.PermissionDescriptor;
  const { state } = await Deno.permissions.query(descriptor).catch(() => ({ state: "denied" }));
  if (state !== "granted") return null;
  try {
    const { bavail, bsize } = await statfs(folder);
    return bavail * bsize;
  } catch {
    return null;
  }
}
