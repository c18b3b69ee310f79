/** Measures of how far results are apart. */

/** The largest difference, in standard deviations of `want`. */
export function relativeError(got, want) {
  if (got.length !== want.length) throw new Error(`${got.length} values instead of ${want.length}`);
  const bad = got.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) throw new Error(`element ${bad} is ${got[bad]} instead of ${want[bad]}`);
  const mean = want.reduce((a, b) => a + b, 0) / want.length;
  const std = Math.sqrt(want.reduce((a, b) => a + (b - mean) ** 2, 0) / want.length);
  return got.reduce((worst, value, i) => Math.max(worst, Math.abs(value - want[i])), 0) / std;
}

/** Logarithms of scores without their mean: what is left of logits after a softmax. */
export function centredLogs(scores) {
  const logs = [...scores].map(Math.log);
  const mean = logs.reduce((a, b) => a + b, 0) / logs.length;
  return logs.map((value) => value - mean);
}

/** Logits without their mean. */
export function centred(logits) {
  const mean = logits.reduce((a, b) => a + b, 0) / logits.length;
  return [...logits].map((value) => value - mean);
}
