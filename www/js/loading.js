/** A model on its way, with how far it is on the picture. */
import { loadOptions } from './choices.js';
import { Progress } from './progress.js';
import { setState } from './state.js';

/**
 * Brings a model into its session.
 * @param {import('./model-session.js').ModelSession} session @param {import('./choices.js').Choice} wanted
 * @param {Record<string, unknown>} [more] options of the package
 * @returns {Promise<any>} the model, or nothing where a later load overtook this one
 */
export async function bring(session, wanted, more = {}) {
  setState('loading', `Loading ${wanted.name}`);
  const progress = new Progress(wanted.name);
  let current = true;
  try {
    const model = await session.load(wanted.source, {
      ...loadOptions(wanted), ...more,
      onProgress: (/** @type {any} */ event) => {
        if (current && session.loading) setState('loading', progress.report(event), progress.phase);
      },
    });
    // The progress of a later load goes on.
    if (model) progress.done();
    return model;
  } catch (error) {
    progress.done();
    throw error;
  } finally {
    current = false;
  }
}
