// Times an ONNX model with onnxruntime-node: ort.cjs MODEL.onnx THREADS RUNS NAME=DTYPE:SHAPE... prints one JSON object.
// Example of an input: sample=float32:1x4x64x64
const ort = require(process.env.ORT_MODULE || "onnxruntime-node");
const [model, threads, runs] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];

function made(spec) {
  const [, name, dtype, shape] = spec.match(/^(\w+)=(\w+):([\dx]+)$/);
  const dims = shape.split("x").map(Number);
  const size = dims.reduce((a, b) => a * b, 1);
  const data = dtype === "int64" ? new BigInt64Array(size) : Float32Array.from({ length: size }, (_, i) => Math.sin(i));
  return [name, new ort.Tensor(dtype, data, dims)];
}

async function main() {
  const session = await ort.InferenceSession.create(model, {
    intraOpNumThreads: threads, interOpNumThreads: 1, executionMode: "sequential", graphOptimizationLevel: "all",
  });
  const feeds = Object.fromEntries(process.argv.slice(5).map(made));
  for (let i = 0; i < 2; i++) await session.run(feeds);
  const times = [];
  for (let i = 0; i < runs; i++) {
    const start = process.hrtime.bigint();
    await session.run(feeds);
    times.push(Number(process.hrtime.bigint() - start) / 1e6);
  }
  times.sort((a, b) => a - b);
  console.log(JSON.stringify({ median_ms: times[times.length >> 1], min_ms: times[0] }));
}
main();
