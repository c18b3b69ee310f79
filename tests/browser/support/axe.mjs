/** What axe-core finds in a page. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { HERE } from './paths.mjs';

const AXE = readFileSync(join(HERE, 'node_modules/axe-core/axe.min.js'), 'utf8');

/** @param {import('playwright-core').Page} page @returns {Promise<string[]>} a line each */
export async function violations(page) {
  if (!(await page.evaluate(() => 'axe' in globalThis))) await page.evaluate(AXE);
  return page.evaluate(async () => (await axe.run(document, { resultTypes: ['violations'] })).violations.map(
    ({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ target }) => target.join(' ')).join(', ')}`));
}
