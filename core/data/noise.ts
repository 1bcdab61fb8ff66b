/**
 * Noise on hidden states, so that a draft learns to work with states that are not quite the verifier's.
 *
 * @module
 */

/** What noise to add. */
export interface Noise {
  /** `uniform`: of [−std, std); `gaussian`: of that standard deviation. */
  readonly kind: "uniform" | "gaussian";
  /** Its size; upstream's default is 0.05. */
  readonly std: number;
  /** Draws of [0, 1); a seeded generator makes a run repeatable. */
  random(): number;
}

/** Adds freshly drawn noise in place. */
export function drawNoise(values: Float32Array, noise: Noise): void {
  const { kind, random, std } = noise;
  for (let i = 0; i < values.length; i++) {
    values[i] = kind === "uniform"
      ? addUniform(values[i]!, random(), std)
      : addGaussian(values[i]!, normal(random), std);
  }
}

/** `x + 2 (r − 1/2) std`, each step rounded to f32. */
export function addUniform(x: number, drawn: number, std: number): number {
  const f = Math.fround;
  return f(x + f(f(2 * f(f(drawn) - 0.5)) * f(std)));
}

/** `x + z std`, each step rounded to f32. */
export function addGaussian(x: number, drawn: number, std: number): number {
  const f = Math.fround;
  return f(x + f(f(drawn) * f(std)));
}

/** A standard normal draw (Box and Muller 1958). */
function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}
