/** The checkpoints that these tests make are those of the fixtures. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { tensors } from './support/checkpoint.mjs';
import { fillUniform } from './support/fill.mjs';
import { FIXTURES } from './support/paths.mjs';
import { readSafetensors, writeSafetensors } from './support/safetensors.mjs';

test('the fill formula gives the recorded bit patterns', () => {
  const checks = JSON.parse(readFileSync(join(FIXTURES, 'fill_check.json'), 'utf8'));
  // The record of cells is of an input, which these tests do not make.
  const uniform = checks.filter(({ fill }) => fill?.kind !== 'blocks');
  assert.ok(uniform.length > 3);
  for (const { name, lo, hi, first_index: first = 0, f32_bits: bits } of uniform) {
    const got = new Uint32Array(fillUniform(name, first + bits.length, lo, hi).buffer, first * 4);
    assert.deepEqual([...got], bits.map(Number), name);
  }
});

test('safetensors are read as they were written', () => {
  const { tensors: all } = tensors('mila_micro');
  const read = readSafetensors(writeSafetensors(all));
  const floats = all.filter(({ dtype }) => dtype === 'F32');
  assert.equal(read.size, floats.length);
  for (const { name, shape, bytes } of floats) {
    assert.deepEqual(read.get(name).shape, shape);
    assert.deepEqual(new Uint8Array(read.get(name).data.buffer), bytes, name);
  }
});
