/** A coarse map made smooth: uniform cubic B-spline, which neither overshoots nor shows the grid. */

/** @param {number} t from 0 to 1, between two samples; weights of the four samples around */
function weights(t) {
  const s = 1 - t;
  return [s * s * s / 6, (3 * t * t * t - 6 * t * t + 4) / 6, (3 * s * s * s - 6 * s * s + 4) / 6, t * t * t / 6];
}

/**
 * For each of `size` outputs over `count` samples (centred in their cells): four sample indices, held inside, and their weights.
 * @param {number} count @param {number} size
 */
function taps(count, size) {
  return Array.from({ length: size }, (_, i) => {
    const at = ((i + 0.5) * count) / size - 0.5;
    const first = Math.floor(at);
    return { at: [-1, 0, 1, 2].map((d) => Math.min(count - 1, Math.max(0, first + d))), weight: weights(at - first) };
  });
}

/**
 * @param {ArrayLike<number>} values row-major @param {number} width @param {number} height
 * @param {number} size side of the result
 * @returns {Float32Array} `size * size` values
 */
export function upsample(values, width, height, size) {
  const columns = taps(width, size);
  const rows = taps(height, size);
  const wide = new Float32Array(height * size);
  for (let y = 0; y < height; y++) {
    columns.forEach(({ at, weight }, x) => {
      for (let k = 0; k < 4; k++) wide[y * size + x] += weight[k] * values[y * width + at[k]];
    });
  }
  const out = new Float32Array(size * size);
  rows.forEach(({ at, weight }, y) => {
    for (let k = 0; k < 4; k++) {
      const from = at[k] * size;
      for (let x = 0; x < size; x++) out[y * size + x] += weight[k] * wide[from + x];
    }
  });
  return out;
}
