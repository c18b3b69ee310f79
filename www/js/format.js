/** Numbers as a person reads them. */

/** @param {number} bytes */
export function megabytes(bytes) {
  if (bytes < 1e5) return `${Math.ceil(bytes / 1e3)} KB`;
  return `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;
}

/** @param {number} count such as 31.8 M */
export function count(count) {
  if (count >= 1e9) return `${(count / 1e9).toFixed(1)} G`;
  if (count >= 1e6) return `${(count / 1e6).toFixed(count < 1e7 ? 2 : 1)} M`;
  if (count >= 1e4) return `${Math.round(count / 1e3)} K`;
  return String(count);
}

/** @param {number} ms */
export function milliseconds(ms) {
  return ms < 10 ? ms.toFixed(1) : Math.round(ms).toString();
}

/** @param {number} score a probability */
export function percent(score) {
  if (score > 0 && score < 0.001) return '< 0.1 %';
  const shown = score * 100;
  return `${shown >= 99.95 ? '100' : shown.toFixed(1)} %`;
}
