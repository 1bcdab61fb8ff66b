/** What a chart shows; how it looks is the page's. */

/** How a number is written. */
export type NumberFormat = "number" | "percent" | "bytes" | "seconds";

/** A curve, or the bars of one colour. */
export interface Series {
  /** What it is, for the legend. */
  readonly name: string;
  /** Its colour: an index into the page's palette, which has eight and begins again after them. */
  readonly colour: number;
  /** `strong` is drawn bold with a dot at each point, `faint` pale and left out of the legend; `plain` unless given. */
  readonly look?: "plain" | "strong" | "faint" | "dashed";
  /** Where its points are; for bars, indices of categories. Ascending. */
  readonly x: readonly number[];
  /** Their heights; `null` is a gap. */
  readonly y: readonly (number | null)[];
}

/** A chart: curves over numbers, or bars over categories. */
export interface Chart {
  /** Its heading. */
  readonly title: string;
  /** A sentence below the heading. */
  readonly note?: string;
  /** What the x axis counts. */
  readonly xLabel: string;
  /** How heights are written. */
  readonly format: NumberFormat;
  /** Whether the y axis begins at 0; bars always do. */
  readonly fromZero?: boolean;
  /** Names of groups of bars; curves when absent. */
  readonly categories?: readonly string[];
  /** What is drawn, the last on top. */
  readonly series: readonly Series[];
}

/** A table of texts. */
export interface ReportTable {
  /** Its heading. */
  readonly title: string;
  /** Heads of the columns. */
  readonly head: readonly string[];
  /** Rows of cells. */
  readonly rows: readonly (readonly string[])[];
}

/** A group of charts under a heading. */
export interface ReportSection {
  /** The heading. */
  readonly title: string;
  /** The charts. */
  readonly charts: readonly Chart[];
}

/** All that a report's page shows, from top to bottom. */
export interface Report {
  /** Its name. */
  readonly title: string;
  /** A line below it. */
  readonly subtitle: string;
  /** The numbers that are looked at first. */
  readonly figures: readonly { readonly label: string; readonly value: string }[];
  /** Charts. */
  readonly sections: readonly ReportSection[];
  /** Tables below them. */
  readonly tables: readonly ReportTable[];
  /** Settings and the like by name, folded up. */
  readonly details: readonly {
    readonly title: string;
    readonly entries: readonly (readonly [string, string])[];
  }[];
}
