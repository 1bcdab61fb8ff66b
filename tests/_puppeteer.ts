/** The one place that knows the library which steers a browser. */
export { launch, type Page } from "npm:puppeteer-core@25.16.0";
