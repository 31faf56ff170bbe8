// Stored pictures (scorefield/reports/raster.py) as values, and values as colors on a canvas.
const at = id => document.getElementById(id);
const data = JSON.parse(at("viewer-data").textContent);
const {rows, columns} = data, size = rows * columns;

const bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));
const restore = async raster => {
  const packed = new Blob([bytes(raster.data)]).stream().pipeThrough(new DecompressionStream("deflate"));
  const plain = new Uint8Array(await new Response(packed).arrayBuffer());
  const values = new Float32Array(size);
  for (let start = 0; start < size; start += columns) {
    let number = 0;
    for (let i = start; i < start + columns; i++) {
      number = (number + (plain[i] << 8 | plain[size + i])) & 65535;
      values[i] = raster.low + raster.step * number;
    }
  }
  return values;
};

const palette = colors => Uint32Array.from({length: 256}, (_, i) => 0xff000000 | colors[3 * i + 2] << 16 | colors[3 * i + 1] << 8 | colors[3 * i]);
const palettes = {gray: palette(Uint8Array.from({length: 768}, (_, i) => i / 3 | 0))};
for (const [name, text] of Object.entries(data.colors)) palettes[name] = palette(bytes(text));

const blank = () => Object.assign(document.createElement("canvas"), {width: columns, height: rows});
const paint = (canvas, values, [low, high], colors) => {
  const context = canvas.getContext("2d"), picture = context.createImageData(columns, rows);
  const pixels = new Uint32Array(picture.data.buffer), scale = 256 / (high - low), table = palettes[colors];
  for (let i = 0; i < size; i++) pixels[i] = table[Math.max(0, Math.min(255, Math.floor((values[i] - low) * scale)))];
  context.putImageData(picture, 0, 0);
};
