/** What can go wrong. Every message is a sentence that says what to do; aborts are the platform's `AbortError`. */

/** Lines of a message that are shown; the rest is in `details`. */
const LINES = 10;

/**
 * Base of all errors of this package. `name` and `code` are the same in minified pages, and where two copies of the package
 * make `instanceof` fail.
 */
export class WebmambaError extends Error {
  override name: string = 'WebmambaError';
  readonly code: string = 'webmamba';
  /** All lines of a message that is too long to be shown; otherwise empty. */
  readonly details: readonly string[];

  constructor(message: string, options?: ErrorOptions & { details?: readonly string[] }) {
    const lines = options?.details ?? message.split('\n');
    const long = lines.length > LINES + 2;
    super(long ? [...lines.slice(0, LINES), `and ${lines.length - LINES} lines more, in \`details\``].join('\n') : message, options);
    this.details = long ? lines : [];
  }
}

/** The browser has no WebGPU, or no adapter fits. */
export class WebGpuUnavailableError extends WebmambaError {
  override name = 'WebGpuUnavailableError';
  override readonly code = 'webgpu-unavailable';
}

/** The device or the page has no memory for this model or image. */
export class OutOfMemoryError extends WebmambaError {
  override name = 'OutOfMemoryError';
  override readonly code = 'out-of-memory';
}

/** The device went away: driver reset, timeout, or the system took it. Load the model again. */
export class DeviceLostError extends WebmambaError {
  override name = 'DeviceLostError';
  override readonly code = 'device-lost';
}

/** The files are not a model that can be run: damaged, truncated, of another kind. */
export class UnsupportedCheckpointError extends WebmambaError {
  override name = 'UnsupportedCheckpointError';
  override readonly code = 'unsupported-checkpoint';
}

/** Something that cannot be classified: damaged, empty, or not readable by the page. */
export class InvalidImageError extends WebmambaError {
  override name = 'InvalidImageError';
  override readonly code = 'invalid-image';
}

/** An option that does not exist, or a value that it cannot have; the message names it. */
export class InvalidOptionError extends WebmambaError {
  override name = 'InvalidOptionError';
  override readonly code = 'invalid-option';
}

/** A file could not be fetched. */
export class DownloadError extends WebmambaError {
  override name = 'DownloadError';
  override readonly code = 'download';
}

/** The model was disposed. */
export class DisposedError extends WebmambaError {
  override name = 'DisposedError';
  override readonly code = 'disposed';
}

/** The page or program cannot start workers, or not this one. */
export class WorkerError extends WebmambaError {
  override name = 'WorkerError';
  override readonly code = 'worker';
}
