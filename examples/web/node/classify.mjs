// node classify.mjs photo.jpg another.png
import { ImageClassifier } from 'webmamba';

const classifier = await ImageClassifier.load();
const files = process.argv.slice(2);
const results = await classifier.classify(files);
results.forEach(({ predictions: [best], confident }, i) => {
  console.log(`${files[i]}: ${confident ? best.label : 'not sure'} (${Math.round(best.score * 100)} %)`);
});
await classifier.dispose();
