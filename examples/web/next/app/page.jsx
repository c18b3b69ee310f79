'use client';

import { useRef, useState } from 'react';
import { ImageClassifier } from 'webmamba';

export default function Page() {
  // Loaded when the first picture comes, then kept. Importing the package is fine on the server, where nothing is loaded.
  const loading = useRef(undefined);
  const [answer, setAnswer] = useState('Choose a picture.');

  async function look({ target }) {
    loading.current ??= ImageClassifier.load('mamba_vision_nano', { worker: true });
    const { predictions: [best], confident } = await (await loading.current).classify(target.files[0]);
    setAnswer(confident ? best.label : `Not sure; maybe ${best.label}`);
  }

  return (
    <main>
      <h1>What is it?</h1>
      <input type="file" accept="image/*" aria-label="A picture" onChange={look} />
      <p><output>{answer}</output></p>
    </main>
  );
}
