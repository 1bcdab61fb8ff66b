/** A real browser for tests: headless Chromium, from the environment's CHROMIUM or one of its usual names in PATH. */
import { join } from "node:path";
import { launch, type Page } from "./_puppeteer.ts";

/** How a page is looked at. */
export interface ViewOptions {
  /** Width in CSS pixels; 1240 unless given. */
  readonly width?: number;
  /** Height; 900 unless given. */
  readonly height?: number;
  /** Whether the system likes it dark. */
  readonly dark?: boolean;
}

/** An open page. */
export interface View {
  /** The page, to be steered. */
  readonly page: Page;
  /** Errors of its console, failed loads, and what else it asked for than its own address. */
  readonly troubles: string[];
  /** The value of an expression in the page. */
  value<T>(expression: string): Promise<T>;
  /** Waits until an expression is true in the page. */
  until(expression: string): Promise<void>;
}

/** The browser's path, or `null` where there is none. */
export function chromium(): string | null {
  const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
  const folders = (Deno.env.get("PATH") ?? "").split(":").filter((folder) => folder !== "");
  const found = [
    Deno.env.get("CHROMIUM"),
    ...folders.flatMap((folder) => names.map((name) => join(folder, name))),
  ];
  return found.find((path) => path && isFile(path)) ?? null;
}

/** What the name of a test ends with where there is no browser. */
export function browserMissing(): string {
  return chromium() === null ? " (no Chromium: neither CHROMIUM nor PATH names one)" : "";
}

/** Opens an address in a browser of its own. */
export async function inBrowser(
  address: string,
  body: (view: View) => Promise<void>,
  options: ViewOptions = {},
): Promise<void> {
  const { width = 1240, height = 900, dark = false } = options;
  // Tests often run as root, where Chromium's sandbox cannot; the pages are the project's own.
  const browser = await launch({
    executablePath: chromium()!,
    args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"],
  });
  try {
    const page = await browser.newPage(), troubles: string[] = [];
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warn") troubles.push(message.text());
    });
    page.on("pageerror", (error) => troubles.push(String(error)));
    const own = new URL(address);
    page.on("request", (request) => {
      const url = new URL(request.url());
      if (url.protocol !== "data:" && !(url.protocol === own.protocol && url.host === own.host)) {
        troubles.push(url.href);
      }
    });
    await page.setViewport({ width, height });
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: dark ? "dark" : "light" }]);
    await page.goto(address);
    await body({
      page,
      troubles,
      value: async <T>(expression: string) => await page.evaluate(expression) as T,
      until: async (expression) => void await page.waitForFunction(expression, { timeout: 20_000 }),
    });
  } finally {
    await browser.close();
  }
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}
