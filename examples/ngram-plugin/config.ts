/** What the `config.json` of an n-gram speculator says. */
import type { SpeculatorConfig, StandardSchema } from "../../mod.ts";

/** The common fields, and its own. */
export interface NgramConfig extends SpeculatorConfig {
  /** Fewest last tokens that must have stood in the text before; nothing is proposed otherwise. */
  readonly ngram_min: number;
  /** Most last tokens that are compared. */
  readonly ngram_max: number;
}

/** Longest match that the op can count. */
const MOST = 64;

/** Its fields as JSON Schema. */
const JSON_SCHEMA = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  type: "object",
  properties: {
    speculators_model_type: { type: "string", const: "ngram" },
    ngram_min: { type: "integer", minimum: 1, maximum: MOST },
    ngram_max: { type: "integer", minimum: 1, maximum: MOST },
  },
  required: ["speculators_model_type", "ngram_min", "ngram_max"],
};

/** The schema, without a library: https://standardschema.dev. Fields that it does not know are kept. */
export const ngramSchema: StandardSchema<NgramConfig> = {
  "~standard": {
    version: 1,
    vendor: "ngram",
    validate(value) {
      const config = value as NgramConfig;
      const issues = (["ngram_min", "ngram_max"] as const).flatMap((field) => {
        const size = config[field], fits = Number.isInteger(size) && size >= 1 && size <= MOST;
        return fits ? [] : [{ path: [field], message: `expected a whole number from 1 to ${MOST}` }];
      });
      return issues.length > 0 ? { issues } : { value: config };
    },
    jsonSchema: { input: () => structuredClone(JSON_SCHEMA) },
  },
};
