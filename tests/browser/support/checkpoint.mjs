/** Checkpoints made from the manifests of the fixtures, as hubs would hold them. */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { fillBlocks, fillUniform, milaRope } from './fill.mjs';
import { FIXTURES, outFolder } from './paths.mjs';
import { readSafetensors, writeSafetensors } from './safetensors.mjs';

export function manifest(name) {
  return JSON.parse(readFileSync(join(FIXTURES, `${name}.json`), 'utf8'));
}

/** The expected logits of a case. */
export function expectedLogits(name, id) {
  return expected(name, id).logits;
}

/** All values that are expected of a case, by what they are. */
export function expected(name, id) {
  const { cases, expected_file } = manifest(name);
  const { expect } = cases.find((one) => one.id === id);
  const tensors = readSafetensors(readFileSync(join(FIXTURES, expected_file)));
  return Object.fromEntries(Object.entries(expect).map(([what, name]) => [what, tensors.get(name)?.data]));
}

/** The values that a module of a case is expected to compute. */
export function traceOf(name, id, module) {
  const tensors = readSafetensors(readFileSync(join(FIXTURES, manifest(name).expected_file)));
  return tensors.get(`${id}.trace.${module}`).data;
}

/** The input of a case as models take it: height, width, and the values of pixel after pixel. */
export function preparedInput(name, id) {
  const { input } = manifest(name).cases.find((one) => one.id === id);
  const [height, width] = input.shape.slice(2);
  const planes = values(input);
  const plane = height * width;
  return { height, width, data: Float32Array.from(planes, (_, i) => planes[(i % 3) * plane + Math.floor(i / 3)]) };
}

function values({ name, shape, fill }) {
  const count = shape.reduce((a, b) => a * b, 1);
  if (fill.kind === 'uniform') return fillUniform(name, count, fill.lo, fill.hi);
  if (fill.kind === 'blocks') return fillBlocks(name, shape, fill);
  if (fill.kind === 'values') return Float32Array.from(fill.values);
  if (fill.kind === 'constant') return new Float32Array(count).fill(fill.value);
  if (fill.kind === 'computed' && fill.formula === 'mila_rope') return milaRope(fill);
  throw new Error(`${name}: unknown fill ${JSON.stringify(fill)}`);
}

function tensor(filled) {
  const { name, dtype, shape, fill } = filled;
  if (dtype === 'I64') return { name, dtype, shape, bytes: new Uint8Array(BigInt64Array.of(BigInt(fill.value)).buffer) };
  return { name, dtype, shape, bytes: new Uint8Array(values(filled).buffer) };
}

/**
 * The tensors of a fixture's checkpoint.
 * @param {string} name
 * @returns {{ config: Record<string, unknown>, tensors: { name: string, dtype: string, shape: number[], bytes: Uint8Array }[] }}
 */
export function tensors(name) {
  const { family, config, hf_config, tensors } = manifest(name);
  // A dense model's is that of its backbone.
  if (config.backbone) return { config: { ...config.backbone, model_type: config.backbone.family }, tensors: tensors.map(tensor) };
  // Where timm has the model, its own config stands beside it.
  return { config: hf_config ?? { model_type: family, ...config }, tensors: tensors.map(tensor) };
}

/** A fixture's checkpoint as files. @returns {{ config: Record<string, unknown>, weights: Uint8Array }} */
export function checkpoint(name) {
  const { config, tensors: all } = tensors(name);
  return { config, weights: writeSafetensors(all) };
}

/** The same on the disk, made once: the large ones take seconds. @returns {string} the folder */
export function checkpointFolder(name) {
  const sources = ['fill.mjs', 'checkpoint.mjs', 'safetensors.mjs'].map((file) => readFileSync(new URL(file, import.meta.url)));
  const hash = createHash('sha256');
  for (const bytes of [readFileSync(join(FIXTURES, `${name}.json`)), ...sources]) hash.update(bytes);
  const folder = join(outFolder('checkpoints'), `${name}-${hash.digest('hex').slice(0, 12)}`);
  if (existsSync(folder)) return folder;
  const { config, weights } = checkpoint(name);
  // Another test may be making the same one: whoever is first wins.
  const fresh = `${folder}.${process.pid}`;
  mkdirSync(fresh, { recursive: true });
  writeFileSync(join(fresh, 'config.json'), JSON.stringify(config));
  writeFileSync(join(fresh, 'model.safetensors'), weights);
  try {
    renameSync(fresh, folder);
  } catch (error) {
    if (!existsSync(folder)) throw error;
  }
  return folder;
}
