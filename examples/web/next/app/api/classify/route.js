import { ImageClassifier } from 'webmamba';

let loading;

/** The same on the server: `curl --data-binary @photo.jpg localhost:3000/api/classify`. */
export async function POST(request) {
  loading ??= ImageClassifier.load();
  const { predictions } = await (await loading).classify(await request.arrayBuffer());
  return Response.json(predictions);
}
