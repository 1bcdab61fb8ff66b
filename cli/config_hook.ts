/** Settings from a file in the places of flags: a flag that is given goes before the file, the file before the default. */
import { ConfigError } from "../core/errors.ts";
import { readEvaluationFile } from "../mod.ts";
import { type Command, InvalidArgumentError } from "./_commander.ts";

/**
 * Sets a command's options from a file's settings, each by its own flag's parser.
 *
 * @throws {ConfigError} when the file has a name that is no flag, or a value that the flag does not take
 */
export async function applySettings(command: Command, path: string): Promise<void> {
  const options = new Map(command.options.map((option) => [option.attributeName(), option]));
  options.delete("config");
  const settings = await readEvaluationFile(path, [...options.keys()]);
  for (const [name, value] of Object.entries(settings)) {
    const option = options.get(name)!;
    if (command.getOptionValueSource(name) === "cli") continue;
    if (option.isBoolean()) {
      if (typeof value !== "boolean" && value !== "true" && value !== "false") {
        throw new ConfigError(
          `${path}: ${name}`,
          `expected true or false, received ${JSON.stringify(value)}`,
        );
      }
      if (String(value) === "true") command.setOptionValueWithSource(name, true, "config");
      continue;
    }
    if (typeof value === "boolean") {
      throw new ConfigError(`${path}: ${name}`, `expected a value, received ${value}`);
    }
    const texts = typeof value === "string" ? [value] : [...value];
    if (texts.length !== 1 && !option.variadic) {
      throw new ConfigError(`${path}: ${name}`, `expected one value, received ${texts.length}`);
    }
    if (option.argChoices && !option.argChoices.includes(texts[0]!)) {
      const list = option.argChoices.join(", ");
      throw new ConfigError(`${path}: ${name}`, `expected one of ${list}, received "${texts[0]}"`);
    }
    try {
      const parse = option.parseArg as ((text: string, before: unknown) => unknown) | undefined;
      const parsed = option.variadic
        ? texts
        : parse && !option.argChoices
        ? parse(texts[0]!, undefined)
        : texts[0];
      command.setOptionValueWithSource(name, parsed, "config");
    } catch (error) {
      if (!(error instanceof InvalidArgumentError)) throw error;
      throw new ConfigError(`${path}: ${name}`, error.message);
    }
  }
}
