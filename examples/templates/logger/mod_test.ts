/** The suite that every logger passes. */
import { pluginConformance } from "../../../tests/conformance/mod.ts";
import plugin from "./mod.ts";

await pluginConformance(plugin);
