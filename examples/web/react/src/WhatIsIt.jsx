import { useState } from 'react';
import { useClassifier } from './useClassifier.js';

export function WhatIsIt() {
  const { classifier, progress, error } = useClassifier('mamba_vision_nano');
  const [result, setResult] = useState();

  if (error) return <p role="alert">{error.message}</p>;
  if (!classifier) return <progress value={progress} />;
  const look = async ({ target }) => setResult(await classifier.classify(target.files[0], { topK: 3 }));
  return (
    <>
      <input type="file" accept="image/*" aria-label="A picture" onChange={look} />
      {result && !result.confident && <p>Not sure; maybe</p>}
      <ol>
        {result?.predictions.map(({ index, label, score }) => (
          <li key={index}>{label}, {Math.round(score * 100)} %</li>
        ))}
      </ol>
    </>
  );
}
