/** The part of the package that is fetched when somebody needs it. */
import { DownloadError } from './errors.js';

/** The engine of this page or worker, and what belongs to it. */
export async function local(): Promise<typeof import('./local.js')> {
  try {
    return await import('./local.js');
  } catch (error) {
    // There import() is not allowed, and the one file has no need of it.
    const advice = 'ServiceWorkerGlobalScope' in globalThis ? '; in service workers import webmamba/webmamba.min.js' : '';
    throw new DownloadError(`A file of the package cannot be loaded (${(error as Error).message})${advice}.`, { cause: error });
  }
}
