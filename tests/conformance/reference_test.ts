import { backendSuite } from "./backend.ts";
import { ReferenceBackend } from "./reference/backend.ts";

backendSuite("reference", () => Promise.resolve(new ReferenceBackend()));
