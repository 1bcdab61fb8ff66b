/** File systems of a given size for tests, where one may be mounted. */

/** A mounted file system. */
export interface SmallDisk extends AsyncDisposable {
  /** Makes it larger. */
  grow(size: string): Promise<void>;
}

/**
 * Mounts a file system of a size, such as `512k`, on a folder; `null` where that is not allowed.
 *
 * @param options further options of mount, such as `ro`
 */
export async function smallDisk(folder: string, size: string, options = "rw"): Promise<SmallDisk | null> {
  const mount = (how: string) => run("mount", "-t", "tmpfs", "-o", `${how},size=${size}`, "tmpfs", folder);
  if (!await mount(options)) return null;
  return {
    grow: async (larger) => void await run("mount", "-o", `remount,size=${larger}`, folder),
    [Symbol.asyncDispose]: async () => void await run("umount", folder),
  };
}

async function run(command: string, ...args: string[]): Promise<boolean> {
  try {
    return (await new Deno.Command(command, { args, stdout: "null", stderr: "null" }).output()).success;
  } catch {
    return false; // there is no such command
  }
}
