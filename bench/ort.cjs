// Times an ONNX model with onnxruntime-node: ort.cjs MODEL.onnx BATCH THREADS RUNS prints one JSON object.
const ort = require(process.env.ORT_MODULE || "onnxruntime-node");
const [model, batch, threads, runs] = [process.argv[2], ...process.argv.slice(3).map(Number)];

async function main() {
  const session = await ort.InferenceSession.create(model, {
    intraOpNumThreads: threads, interOpNumThreads: 1, executionMode: "sequential", graphOptimizationLevel: "all",
  });
  const feeds = {
    sample: new ort.Tensor("float32", Float32Array.from({ length: batch * 3072 }, (_, i) => Math.sin(i)), [batch, 3, 32, 32]),
    timestep: new ort.Tensor("float32", new Float32Array(batch).fill(500), [batch]),
    class_labels: new ort.Tensor("int64", new BigInt64Array(batch), [batch]),
  };
  for (let i = 0; i < 5; i++) await session.run(feeds);
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
