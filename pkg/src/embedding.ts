/** Pictures as vectors: what the head of a model takes, of length 1. */
import { InvalidOptionError } from './errors.js';

/** The vector divided by its length; zeros stay what they are. */
export function normalised(vector: Float32Array): Float32Array {
  const length = Math.hypot(...vector);
  return length > 0 ? vector.map((value) => value / length) : vector;
}

/**
 * How alike two pictures are, by their `embed`: the cosine of the angle between two vectors, 1 for the same direction.
 *
 * @throws {InvalidOptionError} vectors of different lengths, as different models give
 */
export function similarity(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length || !a.length) {
    throw new InvalidOptionError(`similarity: vectors of ${a.length} and ${b.length} numbers cannot be compared; both must come from one model.`);
  }
  let [dot, lengthA, lengthB] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i] ?? 0, b[i] ?? 0];
    dot += x * y;
    lengthA += x * x;
    lengthB += y * y;
  }
  return lengthA && lengthB ? dot / Math.sqrt(lengthA * lengthB) : 0;
}
