/** Which files a repository of the hub has. */
import { FormatError, SpeculatorsError } from "./errors.ts";
import { type HubRequest, requestHub } from "./_hub_download.ts";

/** Most bytes of a repository's listing. */
const MAX_LISTING = 64 * 1024 * 1024;

/** Commit and files of a revision. */
export async function hubListing(
  work: HubRequest,
): Promise<{ readonly sha: string; readonly names: readonly string[] }> {
  const { id, revision, settings } = work;
  const url = `${settings.endpoint}/api/${work.kind ?? "models"}/${id}/revision/${
    encodeURIComponent(revision)
  }`;
  const response = await requestHub(work, url);
  const text = await response.text();
  let value: unknown;
  try {
    value = text.length > MAX_LISTING ? null : JSON.parse(text);
  } catch (cause) {
    throw new FormatError(url, "expected the description of a repository, received other text", {
      cause,
      hint: "Is HF_ENDPOINT the address of a hub?",
    });
  }
  const { sha, siblings } = (value ?? {}) as { sha?: unknown; siblings?: unknown };
  if (typeof sha !== "string" || !/^[0-9a-f]{40}$/.test(sha) || !Array.isArray(siblings)) {
    throw new FormatError(url, "expected a commit and a list of files, received others", {
      hint: "Is HF_ENDPOINT the address of a hub?",
    });
  }
  const names = siblings.map((file) => (file as { rfilename?: unknown } | null)?.rfilename);
  return { sha, names: names.filter((name) => typeof name === "string") };
}

/** Whether the hub did not answer, so that the cache may stand in for it. */
export function isUnreachable(error: unknown): boolean {
  if (error instanceof SpeculatorsError) return error.code === "E_HUB";
  return error instanceof TypeError || error instanceof Deno.errors.NotCapable;
}
