/** The picture of the idle viewfinder: patches, and the path on which a scan reads them. */
const N = 7;
const STEP = 220 / N;

const svg = document.querySelector('.serpent');
if (svg) {
  let patches = '';
  for (let i = 0; i < N * N; i++) {
    const [x, y] = [(i % N) * STEP, Math.floor(i / N) * STEP];
    patches += `<rect x="${x + 2}" y="${y + 2}" width="${STEP - 4}" height="${STEP - 4}" rx="4"/>`;
  }
  const middle = (/** @type {number} */ i) => ((i + 0.5) * STEP).toFixed(1);
  const [left, right, turn] = [middle(0), middle(N - 1), STEP / 2];
  let path = `M${left} ${middle(0)}`;
  for (let row = 0; row < N; row++) {
    const end = row % 2 ? left : right;
    path += `H${end}`;
    if (row + 1 < N) path += `A${turn} ${turn} 0 0 ${row % 2 ? 0 : 1} ${end} ${middle(row + 1)}`;
  }
  svg.innerHTML = `${patches}<path d="${path}" pathLength="1"/><circle cx="${N % 2 ? right : left}" cy="${middle(N - 1)}" r="8"/>`;
}
