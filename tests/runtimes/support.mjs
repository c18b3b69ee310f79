/** Projects with this folder's tools in their own `node_modules`, as bundlers expect them. */
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { command, tarball } from '../browser/support/project.mjs';
import { need, ROOT } from '../browser/support/paths.mjs';

const HERE = join(ROOT, 'tests/runtimes');

/** A program of this folder's `node_modules`. */
export const program = (name) => need(join(HERE, 'node_modules/.bin', name), 'run `npm ci` in tests/runtimes');

/**
 * A folder that has the package from its tarball, all tools of this folder, and a copy of `recipe`.
 * @param {import('node:test').TestContext} t removes it in the end
 * @param {string} [recipe] of `examples/web`
 */
export async function projectOf(t, recipe) {
  const parent = join(ROOT, 'target/runtimes');
  mkdirSync(parent, { recursive: true });
  const folder = mkdtempSync(join(parent, `${recipe ?? 'project'}-`));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  // Links to the same files, on the same disk: some bundlers follow no symbolic links.
  await command('cp', ['-al', need(join(HERE, 'node_modules'), 'run `npm ci` in tests/runtimes'), folder]);
  const { path } = await tarball();
  const home = join(folder, 'node_modules/webmamba');
  mkdirSync(home);
  await command('tar', ['-xzf', path, '-C', home, '--strip-components=1']);
  if (recipe) cpSync(join(ROOT, 'examples/web', recipe), folder, { recursive: true });
  else writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
  return folder;
}
