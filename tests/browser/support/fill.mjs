/** The fill formula of the fixtures (tests/fixtures/README.md), on pairs of 32-bit numbers: BigInt would take minutes. */

/** Product of two unsigned 32-bit numbers: its upper half. */
function mulHigh(a, b) {
  const [a0, a1, b0, b1] = [a & 0xffff, a >>> 16, b & 0xffff, b >>> 16];
  const middle = a1 * b0 + ((a0 * b0) >>> 16);
  return a1 * b1 + (middle >>> 16) + ((a0 * b1 + (middle & 0xffff)) >>> 16);
}

const MASK = 0xffff_ffffn;

function fnv1a(name) {
  let h = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(name)) h = ((h ^ BigInt(byte)) * 0x100000001b3n) & 0xffff_ffff_ffff_ffffn;
  return h;
}

/** @param {string} name @param {number} count @returns {Float32Array} uniform between `lo` and `hi` */
export function fillUniform(name, count, lo, hi) {
  const values = new Float32Array(count);
  const [low, width] = [Math.fround(lo), Math.fround(hi - lo)];
  const seed = fnv1a(name);
  let [high, bottom] = [Number(seed >> 32n), Number(seed & MASK)];
  for (let i = 0; i < count; i++) {
    // The state grows by 0x9E3779B97F4A7C15.
    const sum = bottom + 0x7f4a7c15;
    high = (high + 0x9e3779b9 + (sum > 0xffffffff ? 1 : 0)) >>> 0;
    bottom = sum >>> 0;
    // z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
    let l = (bottom ^ ((bottom >>> 30) | (high << 2))) >>> 0;
    let h = (high ^ (high >>> 30)) >>> 0;
    let top = (mulHigh(l, 0x1ce4e5b9) + Math.imul(h, 0x1ce4e5b9) + Math.imul(l, 0xbf58476d)) >>> 0;
    l = Math.imul(l, 0x1ce4e5b9) >>> 0;
    // z = (z ^ (z >> 27)) * 0x94D049BB133111EB, of which only the upper half counts
    l = (l ^ ((l >>> 27) | (top << 5))) >>> 0;
    h = (top ^ (top >>> 27)) >>> 0;
    top = (mulHigh(l, 0x133111eb) + Math.imul(h, 0x133111eb) + Math.imul(l, 0x94d049bb)) >>> 0;
    const u = ((top ^ (top >>> 31)) >>> 8) * 2 ** -24;
    values[i] = low + Math.fround(width * u);
  }
  return values;
}

/** Cells of one value, and noise on top, of the shape `[.., h, w]`. */
export function fillBlocks(name, shape, { cell, coarse, fine }) {
  const [h, w] = shape.slice(-2);
  const [rows, columns] = [Math.ceil(h / cell), Math.ceil(w / cell)];
  const count = shape.reduce((a, b) => a * b, 1);
  const blocks = fillUniform(`${name}.coarse`, (count / (h * w)) * rows * columns, coarse.lo, coarse.hi);
  const block = (i) => (Math.floor(i / (h * w)) * rows + Math.floor((Math.floor(i / w) % h) / cell)) * columns + Math.floor((i % w) / cell);
  return fillUniform(`${name}.fine`, count, fine.lo, fine.hi).map((value, i) => value + blocks[block(i)]);
}

/** MILA's table of rotations, `[h, w, dim / 2, 2]`: cosine and sine of the row's angles, then of the column's. */
export function milaRope({ h, w, dim, base }) {
  const count = dim / 4;
  const theta = Array.from({ length: count }, (_, k) => Math.fround(1 / Math.fround(base ** Math.fround(k / count))));
  const values = [];
  for (let i = 0; i < h; i++) {
    for (let j = 0; j < w; j++) {
      for (const place of [i, j]) {
        for (const t of theta) {
          const angle = Math.fround(place * t);
          values.push(Math.cos(angle), Math.sin(angle));
        }
      }
    }
  }
  return Float32Array.from(values);
}
