/** The tarball of the package, and fresh projects that have it installed. */
import { execFile, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { builtPackage, HERE, need, outFolder } from './paths.mjs';

const run = promisify(execFile);

/** Runs a program; an error has all that it printed. */
export async function command(program, args, options) {
  try {
    return await run(program, args, { maxBuffer: 1 << 26, ...options });
  } catch (error) {
    throw new Error(`${program} ${args.join(' ')} failed:\n${error.stdout ?? ''}${error.stderr ?? ''}\n${error.message}`, { cause: error });
  }
}

let packed;

/** `npm pack` of the built package, once a process. @returns {Promise<{ path: string, files: string[], size: number }>} */
export function tarball() {
  packed ??= (async () => {
    const folder = mkdtempSync(join(outFolder('tarball'), 'pack-'));
    process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
    const { stdout } = await command('npm', ['pack', '--json', '--pack-destination', folder], { cwd: builtPackage() });
    const report = JSON.parse(stdout);
    const { filename, files } = Array.isArray(report) ? report[0] : Object.values(report)[0];
    const path = join(folder, filename);
    return { path, files: files.map((file) => file.path), size: statSync(path).size };
  })();
  return packed;
}

/**
 * A project outside of the repository with nothing but these files and the package from its tarball. Tools come from this
 * folder's `node_modules`, as links, so that nothing is fetched.
 * @param {import('node:test').TestContext} t removes it in the end
 * @param {Record<string, string>} files
 * @param {string[]} tools
 */
export async function freshProject(t, files, tools = []) {
  const folder = mkdtempSync(join(tmpdir(), 'webmamba-project-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const { path } = await tarball();
  const manifest = { name: 'fresh', private: true, type: 'module', dependencies: { webmamba: `file:${path}` } };
  writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest));
  await command('npm', ['install', '--offline', '--no-audit', '--no-fund', '--ignore-scripts'], { cwd: folder });
  for (const tool of tools) {
    const from = need(join(HERE, 'node_modules', tool), 'run `npm ci` in tests/browser');
    mkdirSync(join(folder, 'node_modules', tool, '..'), { recursive: true });
    symlinkSync(from, join(folder, 'node_modules', tool));
  }
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(folder, name, '..'), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  return folder;
}

/** A tool of this folder's `node_modules`. */
export function tool(name) {
  return need(join(HERE, 'node_modules/.bin', name), 'run `npm ci` in tests/browser');
}

/** A port that is free now. */
export function freePort() {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

/** Starts a server program and waits until it answers. */
export async function startServer(t, program, args, { cwd, url }) {
  const child = spawn(program, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (output += data));
  const ended = new Promise((resolve) => child.once('exit', resolve));
  t.after(async () => {
    child.kill();
    await ended;
  });
  for (let i = 0; i < 240; i++) {
    if (child.exitCode !== null) throw new Error(`${program} ended with ${child.exitCode}:\n${output}`);
    if (await fetch(url).then((answer) => answer.ok, () => false)) return;
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  throw new Error(`${program} does not answer at ${url}:\n${output}`);
}

/** All files below a folder, relative to it. */
export function filesBelow(folder, prefix = '') {
  return readdirSync(join(folder, prefix), { withFileTypes: true }).flatMap((entry) => {
    const name = prefix ? `${prefix}/${entry.name}` : entry.name;
    return entry.isDirectory() ? filesBelow(folder, name) : [name];
  });
}
