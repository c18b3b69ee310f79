/** Reads and writes safetensors. */

const SIZES = { F32: 4, I64: 8, F16: 2, BF16: 2 };
const READ = { F32: Float32Array, U8: Uint8Array };

/** @param {{ name: string, dtype: string, shape: number[], bytes: Uint8Array }[]} tensors */
export function writeSafetensors(tensors) {
  // Wider elements first, as the reference writer has it, so that all are aligned.
  const ordered = [...tensors].sort((a, b) => SIZES[b.dtype] - SIZES[a.dtype]);
  const header = {};
  let end = 0;
  for (const { name, dtype, shape, bytes } of ordered) {
    header[name] = { dtype, shape, data_offsets: [end, (end += bytes.byteLength)] };
  }
  const text = JSON.stringify(header);
  const json = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8));
  const file = new Uint8Array(8 + json.length + end);
  new DataView(file.buffer).setUint32(0, json.length, true);
  file.set(json, 8);
  for (const { name, bytes } of ordered) file.set(bytes, 8 + json.length + header[name].data_offsets[0]);
  return file;
}

/** @param {Uint8Array} file @returns {Map<string, { shape: number[], data: Float32Array | Uint8Array }>} its tensors of F32 and U8 */
export function readSafetensors(file) {
  const length = new DataView(file.buffer, file.byteOffset).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + length)));
  const tensors = new Map();
  for (const [name, { dtype, shape, data_offsets: offsets }] of Object.entries(header)) {
    if (!READ[dtype]) continue;
    const [from, to] = offsets.map((offset) => 8 + length + offset);
    // `slice` of a Buffer would be a view.
    tensors.set(name, { shape, data: new READ[dtype](new Uint8Array(file.subarray(from, to)).buffer) });
  }
  return tensors;
}
