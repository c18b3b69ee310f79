/** Where things are. Whatever tests write goes below `target/browser`. */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
export const HERE = join(ROOT, 'tests/browser');
export const OUT = join(ROOT, 'target/browser');
/** The built package; another build can be named. */
export const PACKAGE = process.env.WEBMAMBA_PACKAGE ?? join(ROOT, 'target/npm/package');
export const IMAGES = join(ROOT, 'tests/images');
export const FIXTURES = join(ROOT, 'tests/fixtures');

/** A file that another step makes. Without it a test fails, and says which step that is. */
export function need(path, how) {
  if (!existsSync(path)) throw new Error(`${path} is missing: ${how}`);
  return path;
}

/** The built package. */
export function builtPackage() {
  need(join(PACKAGE, 'dist/webmamba_bg.wasm'), 'build the package with `make pkg`');
  return PACKAGE;
}

/** A folder below `target/browser`, made if it is not there. */
export function outFolder(...parts) {
  const folder = join(OUT, ...parts);
  mkdirSync(folder, { recursive: true });
  return folder;
}

/** The native command line, of whichever profile was built. */
export function nativeBinary() {
  const all = ['checked', 'release'].map((profile) => join(ROOT, 'target', profile, 'webmamba'));
  const found = all.find((path) => existsSync(path));
  if (!found) throw new Error('there is no native webmamba to compare with: build it with `make build`');
  return found;
}
