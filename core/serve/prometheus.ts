/**
 * Figures in Prometheus' text format.
 *
 * source: https://prometheus.io/docs/instrumenting/exposition_formats/
 *
 * @module
 */

/** Labels of a figure, by their names. */
export type Labels = Readonly<Record<string, string>>;

/** Figures of one kind. */
abstract class Family<T> {
  readonly #head: string;
  readonly #values = new Map<string, { readonly labels: Labels; value: T }>();

  /** @param name as it is asked for; @param help one sentence */
  constructor(readonly name: string, help: string, type: "counter" | "gauge" | "histogram") {
    this.#head = `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`;
  }

  protected abstract empty(): T;
  protected abstract lines(labels: Labels, value: T): string;

  protected at(labels: Labels): { value: T } {
    const key = JSON.stringify(labels);
    let found = this.#values.get(key);
    if (!found) this.#values.set(key, found = { labels, value: this.empty() });
    return found;
  }

  /** The text; `common` labels come before a figure's own. */
  render(common: Labels): string {
    const all = [...this.#values.values()];
    return this.#head + all.map(({ labels, value }) => this.lines({ ...common, ...labels }, value)).join("");
  }
}

/** A number that grows. */
export class Counter extends Family<number> {
  constructor(name: string, help: string) {
    super(name, help, "counter");
  }

  protected empty(): number {
    return 0;
  }

  protected lines(labels: Labels, value: number): string {
    return `${this.name}${written(labels)} ${value}\n`;
  }

  /** Adds; also nothing, which lets the figure be seen. */
  add(n: number, labels: Labels = {}): void {
    this.at(labels).value += n;
  }
}

/** A number that goes up and down. */
export class Gauge extends Family<number> {
  constructor(name: string, help: string) {
    super(name, help, "gauge");
  }

  protected empty(): number {
    return 0;
  }

  protected lines(labels: Labels, value: number): string {
    return `${this.name}${written(labels)} ${value}\n`;
  }

  /** Says what it is now. */
  set(n: number, labels: Labels = {}): void {
    this.at(labels).value = n;
  }
}

/** How often values fell below bounds. */
export class Histogram extends Family<{ readonly counts: number[]; sum: number; count: number }> {
  readonly #bounds: readonly number[];

  constructor(name: string, help: string, bounds: readonly number[]) {
    super(name, help, "histogram");
    this.#bounds = bounds;
  }

  protected empty(): { counts: number[]; sum: number; count: number } {
    return { counts: this.#bounds.map(() => 0), sum: 0, count: 0 };
  }

  protected lines(
    labels: Labels,
    { counts, sum, count }: { counts: number[]; sum: number; count: number },
  ): string {
    const below = this.#bounds.map((bound, i) => [bound.toString(), counts[i]!] as const);
    return [...below, ["+Inf", count] as const]
      .map(([le, n]) => `${this.name}_bucket${written({ ...labels, le })} ${n}\n`).join("") +
      `${this.name}_sum${written(labels)} ${sum}\n${this.name}_count${written(labels)} ${count}\n`;
  }

  /** Counts a value. */
  observe(value: number, times = 1): void {
    const { value: found } = this.at({});
    for (const [i, bound] of this.#bounds.entries()) if (value <= bound) found.counts[i]! += times;
    found.sum += value * times;
    found.count += times;
  }
}

function written(labels: Labels): string {
  if (Object.keys(labels).length === 0) return "";
  const escape = (text: string) =>
    text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
  return `{${Object.entries(labels).map(([name, value]) => `${name}="${escape(value)}"`).join(",")}}`;
}
