// Builds ../assets/ from src/: one classic script, one style sheet, the licences of the libraries in it.
// `node build.mjs --to DIR` writes elsewhere (the test compares it with what is committed).
import { build } from "esbuild";
import { mkdirSync, readFileSync, readdirSync, writeFileSync, existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const flag = process.argv.indexOf("--to");
const out = flag > 0 ? process.argv[flag + 1] : join(here, "..", "assets");
mkdirSync(out, { recursive: true });

const result = await build({
  absWorkingDir: here,
  entryPoints: { report: "src/main.ts" },
  bundle: true,
  minify: true,
  format: "iife",
  target: ["chrome110", "firefox115", "safari16.4"],
  charset: "utf8",
  legalComments: "none",
  metafile: true,
  write: false,
  outdir: "assets",
  loader: { ".css": "css" },
  // zarrita offers codecs that fetch a wasm module; the published arrays need zstd alone, which fzstd reads.
  alias: Object.fromEntries(["blosc", "lz4", "zstd"].map((name) => [`numcodecs/${name}`, "./src/data/no_codec.ts"])),
});
for (const file of result.outputFiles) writeFileSync(join(out, file.path.split("/").pop()), file.contents);

const names = new Set();
for (const input of Object.keys(result.metafile.inputs)) {
  const match = input.match(/node_modules\/((?:@[^/]+\/)?[^/]+)\//);
  if (match) names.add(match[1]);
}
const texts = [...names].sort().map((name) => {
  const folder = join(here, "node_modules", name);
  const about = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const file = readdirSync(folder).find((f) => /^licen[cs]e/i.test(f));
  const text = file && existsSync(join(folder, file)) ? readFileSync(join(folder, file), "utf8").trim() : `Licence: ${about.license}`;
  return `${name} ${about.version} (${about.license})\n\n${text}\n`;
});
writeFileSync(join(out, "LICENSES.txt"), `Libraries in report.js, and their licences.\n\n${texts.join("\n----\n\n")}`);
