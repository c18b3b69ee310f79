#!/usr/bin/env node
/** `npx webmamba classify photo.jpg`: what the native command line of this name prints, by the package. */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { ImageClassifier, InvalidImageError, WebmambaError } from '../dist/index.js';

const HELP = `Usage: webmamba classify [options] IMAGE..

Mamba-family vision models on the CPU, or on a GPU where this runtime has WebGPU.

An IMAGE is a file, an address, or - for standard input: JPEG, PNG, WebP, BMP, GIF or TIFF.

  --model MODEL     a built-in model, a hub id, a folder or a file of weights [mamba_vision_nano]
  --top-k K         how many of the best classes to print [5]
  --device DEVICE   auto, cpu or webgpu [auto]
  --json            one JSON object per image per line
  --help, --version

Results are on standard output, all else on standard error. Exit codes: 0 all fine, 1 some images failed, 2 usage or model error.`;

const OPTIONS = {
  model: { type: 'string' }, 'top-k': { type: 'string' }, device: { type: 'string' }, json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' }, version: { type: 'boolean', short: 'V' },
};

/** Ends the program: nothing can be classified. */
function fail(message) {
  console.error(`error: ${message}`);
  process.exit(2);
}

function options() {
  try {
    return parseArgs({ options: OPTIONS, allowPositionals: true });
  } catch (error) {
    return fail(`${error.message}\n\n${HELP}`);
  }
}

const { values, positionals: [command, ...images] } = options();
if (values.version) {
  console.log(`webmamba ${JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')).version}`);
  process.exit(0);
}
if (values.help) {
  console.log(HELP);
  process.exit(0);
}
if (command !== 'classify' || !images.length) fail(`${command && command !== 'classify' ? `there is no command \`${command}\`` : 'name images'}\n\n${HELP}`);
const topK = Number(values['top-k'] ?? 5);
if (!Number.isInteger(topK) || topK < 1) fail('--top-k must be a whole number of at least 1');

const classifier = await load();
const failed = [];
const { name, device } = classifier.info;
if (!values.json) console.error(`${name} on ${device.reason}`);
for (const assumption of classifier.info.assumptions) console.error(`note: ${assumption}`);
for (const image of images) {
  try {
    const { predictions, confident, timing } = await classifier.classify(image === '-' ? readFileSync(0) : image, { topK });
    if (values.json) console.log(JSON.stringify({ image, predictions, confident, model: name, device: device.kind, ms: timing }));
    else {
      const unsure = confident ? [] : ['  not sure; the closest of what it knows:'];
      console.log([image, ...unsure, ...predictions.map(({ label, score }) => `  ${(score * 100).toFixed(1).padStart(5)} %  ${label}`)].join('\n'));
    }
  } catch (error) {
    if (!(error instanceof InvalidImageError)) throw error;
    failed.push(image);
    console.error(`error: ${error.message}`);
    if (values.json) console.log(JSON.stringify({ image, error: error.message, kind: error.code }));
  }
}
if (failed.length) console.error(`${failed.length} of ${images.length} ${images.length === 1 ? 'image' : 'images'} failed`);
await classifier.dispose();
// Libraries for WebGPU keep threads.
process.exit(failed.length ? 1 : 0);

async function load() {
  try {
    return await ImageClassifier.load(values.model, { device: values.device });
  } catch (error) {
    return error instanceof WebmambaError ? fail(error.message) : Promise.reject(error);
  }
}
