import { useEffect, useState } from 'react';
import { ImageClassifier } from 'webmamba/worker';

/** `{ classifier }` as soon as the model is ready, `{ progress }` from 0 to 1 until then, or `{ error }`. */
export function useClassifier(model) {
  const [state, setState] = useState({ progress: 0 });
  useEffect(() => {
    const stop = new AbortController();
    const onProgress = ({ phase, loaded, total }) => phase === 'download' && setState({ progress: loaded / total });
    const loading = ImageClassifier.load(model, { signal: stop.signal, onProgress });
    loading.then(
      (classifier) => setState({ classifier, progress: 1 }),
      (error) => stop.signal.aborted || setState({ error, progress: 0 }),
    );
    return () => {
      stop.abort();
      loading.then((classifier) => classifier.dispose(), () => undefined);
    };
  }, [model]);
  return state;
}
