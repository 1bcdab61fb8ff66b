/**
 * Every error this project throws on purpose: what happened, where, what was expected and found, what to do.
 *
 * @module
 */

/** What an error carries besides its message. */
export interface ErrorOptions {
  /** What to do about it: one sentence for the person who reads it. */
  readonly hint?: string;
  /** The error underneath. */
  readonly cause?: unknown;
}

/** Base of all errors thrown on purpose. The message starts with a capital and has no period at its end. */
export class SpeculatorsError extends Error {
  /** Stable identifier, e.g. `E_SHAPE`. */
  readonly code: string;
  /** What to do about it, if anything can be said. */
  readonly hint: string | undefined;

  /** Makes an error; subclasses fix the code. */
  constructor(code: string, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = code;
    this.hint = options.hint;
  }
}

/** Inputs of an op do not fit it. */
export class ShapeError extends SpeculatorsError {
  /**
   * Makes the error.
   *
   * @param op the op's name
   */
  constructor(op: string, message: string, options?: ErrorOptions) {
    super("E_SHAPE", `Cannot run "${op}": ${message}`, options);
  }
}

/** A file's content is not what its format says. */
export class FormatError extends SpeculatorsError {
  /**
   * Makes the error.
   *
   * @param file path of the file
   */
  constructor(file: string, message: string, options?: ErrorOptions) {
    super("E_FORMAT", `Cannot read "${file}": ${message}`, options);
  }
}

/** A configuration or an option has a value that cannot be used. */
export class ConfigError extends SpeculatorsError {
  /**
   * Makes the error.
   *
   * @param where file or option, and the field in it
   */
  constructor(where: string, message: string, options?: ErrorOptions) {
    super("E_CONFIG", `Cannot use "${where}": ${message}`, options);
  }
}

/** A file, folder, model or plugin is not there. */
export class NotFoundError extends SpeculatorsError {
  /**
   * Makes the error.
   *
   * @param what the thing looked for
   */
  constructor(what: string, message: string, options?: ErrorOptions) {
    super("E_NOT_FOUND", `Cannot find "${what}": ${message}`, options);
  }
}

/** A plugin failed, or is no plugin. */
export class PluginError extends SpeculatorsError {
  /**
   * Makes the error.
   *
   * @param plugin its name, path or URL
   */
  constructor(plugin: string, message: string, options?: ErrorOptions) {
    super("E_PLUGIN", `Cannot use the plugin "${plugin}": ${message}`, options);
  }
}

/** The compute device is missing or was lost. */
export class DeviceError extends SpeculatorsError {
  /** Makes the error. */
  constructor(message: string, options?: ErrorOptions) {
    super("E_DEVICE", message, options);
  }
}

/** A number that must be finite is not. */
export class NumericError extends SpeculatorsError {
  /** Makes the error. */
  constructor(message: string, options?: ErrorOptions) {
    super("E_NUMERIC", message, options);
  }
}

/** A file could not be written. */
export class WriteError extends SpeculatorsError {
  /**
   * Makes the error.
   *
   * @param file path of the file
   */
  constructor(file: string, message: string, options?: ErrorOptions) {
    super("E_WRITE", `Cannot write "${file}": ${message}`, options);
  }
}

/** A server did not answer, or gave no answer that can be used. */
export class EndpointError extends SpeculatorsError {
  /** The HTTP status it answered with; `null` when there was none. */
  readonly status: number | null;

  /**
   * Makes the error.
   *
   * @param url the address that was asked
   */
  constructor(url: string, message: string, options: ErrorOptions & { readonly status?: number } = {}) {
    super("E_ENDPOINT", `Cannot ask "${url}": ${message}`, options);
    this.status = options.status ?? null;
  }
}

/** The caller asked to stop. */
export class AbortedError extends SpeculatorsError {
  /** Makes the error. */
  constructor(message = "Stopped on request", options?: ErrorOptions) {
    super("E_ABORTED", message, options);
  }
}

/** There is too much to do already. */
export class BusyError extends SpeculatorsError {
  /**
   * Makes the error.
   *
   * @param what what was not taken
   */
  constructor(what: string, message: string, options?: ErrorOptions) {
    super("E_BUSY", `Cannot take "${what}": ${message}`, options);
  }
}
