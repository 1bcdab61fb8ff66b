/**
 * Draws charts as SVG. The same code runs here, for a page that shows its charts before and without any script, and in
 * the page itself, which takes it as text: so everything is inside one function that uses nothing of this module.
 *
 * @module
 */
import type { Chart, NumberFormat, Series } from "./chart.ts";

/** Size of a drawing in CSS pixels. */
export interface DrawSize {
  /** Width. */
  readonly width: number;
  /** Height. */
  readonly height: number;
}

/** What lies at a place of a chart. */
export interface ChartPlace {
  /** Its x in the drawing. */
  readonly left: number;
  /** What it is: the x value, or the category. */
  readonly label: string;
  /** Values there, a series each. */
  readonly values: readonly { readonly name: string; readonly colour: number; readonly text: string }[];
}

/** What {@linkcode chartKit} gives. */
export interface ChartKit {
  /** The chart as the text of an SVG element; its colours are the page's. */
  draw(chart: Chart, size: DrawSize): string;
  /** What is nearest to a place from the left, or `null` where there is nothing. */
  at(chart: Chart, size: DrawSize, left: number): ChartPlace | null;
  /** A number as it is written on an axis or in a tooltip. */
  write(value: number, format: NumberFormat): string;
  /** Text as it stands in HTML and in attributes. */
  escape(text: string): string;
}

/** Colours of the page's palette. */
export const PALETTE_SIZE = 8;

/** Makes the functions that draw. Uses nothing but its own code and the language: its text is sent to browsers. */
export function chartKit(): ChartKit {
  const LEFT = 56, RIGHT = 14, TOP = 10, BOTTOM = 36, DOTS = 60, COLOURS = 8;

  interface Frame {
    readonly x: (value: number) => number;
    readonly y: (value: number) => number;
    readonly xs: readonly number[];
    readonly ys: readonly number[];
    readonly right: number;
    readonly bottom: number;
  }

  function escape(text: string): string {
    const names: Record<string, string> = {
      "&": "&amp;",
      "<": "&lt;",
      ">": "&gt;",
      '"': "&quot;",
      "'": "&#39;",
    };
    return text.replace(/[&<>"']/g, (char) => names[char]!);
  }

  function trim(value: number, digits: number): string {
    const text = value.toPrecision(digits);
    if (text.includes("e")) return String(Number(text));
    return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
  }

  function write(value: number, format: NumberFormat): string {
    const size = Math.abs(value);
    if (!Number.isFinite(value)) return String(value);
    if (format === "percent") return `${trim(value * 100, size >= 0.9995 ? 4 : 3)} %`;
    if (format === "bytes") {
      const units = ["B", "KiB", "MiB", "GiB", "TiB"];
      const unit = size < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log(size) / Math.log(1024)));
      return `${trim(value / 1024 ** unit, 4)} ${units[unit]}`;
    }
    if (format === "seconds") {
      if (size !== 0 && size < 1) return `${trim(value * 1000, 3)} ms`;
      if (size < 120) return `${trim(value, 3)} s`;
      return size < 7200 ? `${trim(value / 60, 3)} min` : `${trim(value / 3600, 3)} h`;
    }
    if (value === 0) return "0";
    if (size < 1e-3) return value.toExponential(2).replace(/\.?0+e/, "e");
    if (size >= 1e9) return `${trim(value / 1e9, 4)}G`;
    if (size >= 1e6) return `${trim(value / 1e6, 4)}M`;
    return size >= 1e4 ? `${trim(value / 1e3, 4)}k` : trim(value, 4);
  }

  /** The ticks of numbers as they are written: bytes in round numbers of their unit. */
  function heights(
    low: number,
    high: number,
    { wanted, format }: { wanted: number; format: NumberFormat },
  ): number[] {
    if (format !== "bytes" || !(high > 1)) return ticks(low, high, wanted);
    const unit = 1024 ** Math.min(4, Math.floor(Math.log(high) / Math.log(1024)));
    return ticks(low / unit, high / unit, wanted).map((tick) => tick * unit);
  }

  /** Round numbers from `low` to `high`, about `wanted` of them: steps of 1, 2 or 5 times a power of ten. */
  function ticks(low: number, high: number, wanted: number): number[] {
    const raw = (high - low) / Math.max(1, wanted), power = 10 ** Math.floor(Math.log10(raw));
    const step = ([1, 2, 5, 10].find((factor) => factor * power >= raw) ?? 10) * power;
    if (!(step > 0) || !Number.isFinite(step)) return [low];
    const found: number[] = [], first = Math.ceil(low / step - 1e-9);
    for (let i = first; i * step <= high + step * 1e-9 && found.length < 50; i++) {
      found.push(Number((i * step).toPrecision(12)));
    }
    return found;
  }

  function range(values: readonly (number | null)[]): [number, number] | null {
    let low = Infinity, high = -Infinity;
    for (const value of values) {
      if (value === null || !Number.isFinite(value)) continue;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
    return low <= high ? [low, high] : null;
  }

  function frame(chart: Chart, size: DrawSize): Frame | null {
    const found = range(chart.series.flatMap((one) => one.y));
    if (found === null) return null;
    let [low, high] = found;
    if (chart.fromZero || chart.categories) {
      low = Math.min(0, low);
      high = Math.max(0, high);
    }
    if (low === high) {
      const room = Math.abs(low) / 10 || 1;
      [low, high] = [low - room, high + room];
    } else {
      const room = (high - low) / 20;
      // An axis that begins at 0 begins there, and shares end at their whole.
      if (low !== 0 || !(chart.fromZero || chart.categories)) low -= room;
      if (high !== 0) high += room;
    }
    if (chart.format === "percent" && found[0] >= 0 && found[1] <= 1) {
      [low, high] = [Math.max(0, low), Math.min(1, high)];
    }
    const across = chart.categories
      ? [-0.5, chart.categories.length - 0.5] as const
      : range(chart.series.flatMap((one) => one.x.filter((_, i) => one.y[i] !== null))) ?? [0, 1];
    const [first, last] = across[0] === across[1] ? [across[0] - 1, across[1] + 1] : across;
    const right = size.width - RIGHT, bottom = size.height - BOTTOM;
    return {
      x: (value) => LEFT + (value - first) / (last - first) * (right - LEFT),
      y: (value) => bottom - (value - low) / (high - low) * (bottom - TOP),
      xs: chart.categories
        ? chart.categories.map((_, i) => i)
        : ticks(first, last, size.width / 90).filter((tick) => Number.isInteger(tick) || last - first < 2),
      ys: heights(low, high, { wanted: size.height / 50, format: chart.format }),
      right,
      bottom,
    };
  }

  function place(value: number): string {
    return String(Math.round(value * 10) / 10);
  }

  function curve(one: Series, { x, y }: Frame): string {
    const look = one.look ?? "plain", parts: string[] = [], dots: string[] = [];
    const colour = `c${one.colour % COLOURS}`;
    let path = "", run = 0;
    const known = one.y.filter((value) => value !== null).length;
    const end = (last: string): void => {
      if (run === 1 && !(look === "strong" && known <= DOTS)) dots.push(last);
      run = 0;
    };
    let last = "";
    for (let i = 0; i < one.x.length; i++) {
      const value = one.y[i];
      if (value === null || value === undefined) {
        end(last);
        continue;
      }
      const left = place(x(one.x[i]!)), top = place(y(value));
      path += `${run === 0 ? "M" : "L"}${left} ${top}`;
      run++;
      last = `<circle cx="${left}" cy="${top}" r="3"/>`;
      if (look === "strong" && known <= DOTS) dots.push(last);
    }
    end(last);
    if (path !== "") parts.push(`<path d="${path}"/>`);
    return `<g class="curve ${look} ${colour}">${parts.join("")}${dots.join("")}</g>`;
  }

  function bars(chart: Chart, { x, y }: Frame): string {
    const group = x(1) - x(0), width = Math.min(64, group * 0.7 / Math.max(1, chart.series.length));
    return chart.series.map((one, s) => {
      const shift = (s - chart.series.length / 2) * width;
      const boxes = one.x.map((category, i) => {
        const value = one.y[i];
        if (value === null || value === undefined) return "";
        const top = Math.min(y(value), y(0)), height = Math.abs(y(value) - y(0));
        const size = `width="${place(width - 2)}" height="${place(height)}"`;
        const left = x(category) + shift;
        const text = `<text x="${place(left + width / 2)}" y="${place(top - 4)}" text-anchor="middle">${
          escape(write(value, chart.format))
        }</text>`;
        const box = `<rect x="${place(left + 1)}" y="${place(top)}" ${size} rx="2"/>`;
        return width >= 36 ? box + text : box;
      });
      return `<g class="bars c${one.colour % COLOURS}">${boxes.join("")}</g>`;
    }).join("");
  }

  function draw(chart: Chart, size: DrawSize): string {
    const { width, height } = size, found = frame(chart, size);
    const open =
      `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="${
        escape(chart.title)
      }">`;
    if (found === null) {
      return `${open}<text class="empty" x="${width / 2}" y="${
        height / 2
      }" text-anchor="middle">no numbers yet</text></svg>`;
    }
    const { x, y, xs, ys, right, bottom } = found, parts: string[] = [];
    for (const tick of ys) {
      const top = place(y(tick));
      parts.push(`<line class="grid" x1="${LEFT}" x2="${place(right)}" y1="${top}" y2="${top}"/>`);
      const text = escape(write(tick, chart.format));
      parts.push(`<text x="${LEFT - 7}" y="${top}" dy="0.32em" text-anchor="end">${text}</text>`);
    }
    for (const tick of xs) {
      const name = chart.categories?.[tick];
      const text = escape(name === undefined ? write(tick, "number") : cut(name, (x(1) - x(0)) / 6.5));
      parts.push(`<text x="${place(x(tick))}" y="${place(bottom + 16)}" text-anchor="middle">${text}</text>`);
    }
    parts.push(
      `<line class="axis" x1="${LEFT}" x2="${place(right)}" y1="${place(bottom)}" y2="${place(bottom)}"/>`,
    );
    const label = `x="${place((LEFT + right) / 2)}" y="${place(height - 4)}" text-anchor="middle"`;
    parts.push(`<text class="label" ${label}>${escape(chart.xLabel)}</text>`);
    parts.push(chart.categories ? bars(chart, found) : chart.series.map((one) => curve(one, found)).join(""));
    return `${open}${parts.join("")}</svg>`;
  }

  function cut(text: string, most: number): string {
    return text.length <= most ? text : `${text.slice(0, Math.max(1, Math.floor(most) - 1))}…`;
  }

  function nearest(values: readonly number[], wanted: number): number {
    let best = 0;
    for (let i = 1; i < values.length; i++) {
      if (Math.abs(values[i]! - wanted) < Math.abs(values[best]! - wanted)) best = i;
    }
    return best;
  }

  function at(chart: Chart, size: DrawSize, left: number): ChartPlace | null {
    const found = frame(chart, size);
    if (found === null) return null;
    const all = [...new Set(chart.series.flatMap((one) => one.x.filter((_, i) => one.y[i] !== null)))];
    const value = all[nearest(all.map(found.x), left)];
    if (value === undefined) return null;
    const values = chart.series.flatMap((one) => {
      if (one.look === "faint" || one.x.length === 0) return [];
      const i = chart.categories ? one.x.indexOf(value) : nearest(one.x, value), height = one.y[i];
      if (height === undefined) return [];
      // A curve of few points says where its own is; one that has ended, or has not begun, says nothing.
      const reach = chart.categories ? 0 : (found.right - found.x(one.x[0]!)) / Math.max(8, one.x.length);
      if (Math.abs(found.x(one.x[i]!) - found.x(value)) > reach) return [];
      const text = height === null ? "no number" : write(height, chart.format);
      return [{ name: one.name, colour: one.colour % COLOURS, text }];
    });
    return {
      left: found.x(value),
      label: chart.categories?.[value] ?? `${chart.xLabel} ${write(value, "number")}`,
      values,
    };
  }

  return { draw, at, write, escape };
}
