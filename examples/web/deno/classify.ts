// deno run --allow-read --allow-env classify.ts photo.jpg another.png
import { ImageClassifier } from 'webmamba';

const classifier = await ImageClassifier.load();
for (const file of Deno.args) {
  const { predictions: [best], confident } = await classifier.classify(await Deno.readFile(file));
  console.log(`${file}: ${confident ? best.label : 'not sure'} (${Math.round(best.score * 100)} %)`);
}
await classifier.dispose();
