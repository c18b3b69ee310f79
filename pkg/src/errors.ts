/** What can go wrong. Every message is a sentence that says what to do; aborts are the platform's `AbortError`. */

/** Base of all errors of this package. */
export class WebmambaError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** The browser has no WebGPU, or no adapter fits. */
export class WebGpuUnavailableError extends WebmambaError {}
/** The device or the page has no memory for this model or image. */
export class OutOfMemoryError extends WebmambaError {}
/** The device went away: driver reset, timeout, or the system took it. Load the model again. */
export class DeviceLostError extends WebmambaError {}
/** The files are not a model that can be run: damaged, truncated, of another kind. */
export class UnsupportedCheckpointError extends WebmambaError {}
/** Something that cannot be classified: damaged, empty, or not readable by the page. */
export class InvalidImageError extends WebmambaError {}
/** A file could not be fetched. */
export class DownloadError extends WebmambaError {}
/** The classifier was disposed. */
export class DisposedError extends WebmambaError {}

const CLASSES = {
  WebmambaError,
  WebGpuUnavailableError,
  OutOfMemoryError,
  DeviceLostError,
  UnsupportedCheckpointError,
  InvalidImageError,
  DownloadError,
  DisposedError,
};

/** The classes by the codes that the WebAssembly module gives. */
const BY_CODE: Record<string, new (message: string, options?: ErrorOptions) => WebmambaError> = {
  image: InvalidImageError,
  checkpoint: UnsupportedCheckpointError,
  'no-gpu': WebGpuUnavailableError,
  memory: OutOfMemoryError,
  lost: DeviceLostError,
};

/** An error of the WebAssembly module as one of the classes above; others stay what they are. */
export function typed(error: unknown): unknown {
  if (error instanceof WebmambaError) return error;
  if (error instanceof WebAssembly.RuntimeError) {
    // A trap: Rust cannot unwind here, so the module's memory may be inconsistent from now on.
    const memory = /memory|grow|allocat/i.test(error.message);
    const Class = memory ? OutOfMemoryError : WebmambaError;
    return new Class(`The WebAssembly module stopped (${error.message}); reload the page.`, { cause: error });
  }
  if (error instanceof RangeError && /memory|array buffer/i.test(error.message)) {
    return new OutOfMemoryError(`The page has no memory left for this (${error.message}).`, { cause: error });
  }
  const code = (error as { code?: unknown } | null)?.code;
  if (error instanceof Error && typeof code === 'string') {
    const Class = BY_CODE[code] ?? WebmambaError;
    return new Class(error.message, { cause: error });
  }
  return error;
}

/** For the way between a worker and the page. */
export interface PlainError {
  name: string;
  message: string;
}

export function toPlain(error: unknown): PlainError {
  const known = typed(error);
  return known instanceof Error || known instanceof DOMException
    ? { name: known.name, message: known.message }
    : { name: 'Error', message: String(known) };
}

export function fromPlain({ name, message }: PlainError): Error {
  if (name in CLASSES) return new CLASSES[name as keyof typeof CLASSES](message);
  if (name === 'AbortError') return new DOMException(message, name);
  const error = new Error(message);
  error.name = name;
  return error;
}
