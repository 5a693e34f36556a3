// Builds the page into src/anymask/serve/page/, or with --tests the tests into build/tests/.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, extname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const page = join(here, "..", "src", "anymask", "serve", "page");
const tests = process.argv.includes("--tests");

function files(folder) {
  return readdirSync(join(here, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

// Of all that the page is made of; tests/guards compares it with what was written into the build.
function digest() {
  const names = ["build.mjs", "package-lock.json", "tsconfig.json"].map((name) => join(here, name));
  const all = [...names, ...files("src")].map((path) => [relative(here, path).replaceAll("\\", "/"), path]);
  all.sort(([a], [b]) => (a < b ? -1 : 1));
  const hash = createHash("sha256");
  for (const [name, path] of all) {
    hash.update(`${name}\0`);
    hash.update(readFileSync(path, "utf8").replaceAll("\r\n", "\n"));
    hash.update("\0");
  }
  return hash.digest("hex");
}

const options = { bundle: true, format: "esm", charset: "utf8", logLevel: "warning" };

if (tests) {
  rmSync(join(here, "build", "tests"), { recursive: true, force: true });
  const all = files("tests").filter((path) => path.endsWith(".ts"));
  for (const [kind, isOf] of [["tests", (path) => path.endsWith(".test.ts")], ["tools", (path) => path.includes("tools")]]) {
    await build({
      ...options,
      entryPoints: all.filter(isOf),
      outdir: join(here, "build", kind),
      outExtension: { ".js": ".mjs" },
      platform: "node",
      target: "node20",
      sourcemap: "inline",
    });
  }
} else {
  const mark = `/* anymask studio, built by "make web"; sources ${digest()} */`;
  await build({
    ...options,
    entryPoints: ["studio.ts", "static.ts", "worker/worker.ts", "offline/sw.ts", "studio.css"].map((name) => ({
      in: join(here, "src", name),
      out: basename(name, extname(name)),
    })),
    outdir: page,
    minify: true,
    target: ["chrome123", "firefox121", "safari17.5"],
    // The runtime's own loader stays a file beside the worker, for its threads load it, too.
    conditions: ["onnxruntime-web-use-extern-wasm"],
    banner: { js: mark, css: mark },
  });
  // A notebook's widget is one file, its style in it.
  const { outputFiles } = await build({
    ...options, entryPoints: [join(here, "src", "studio.css")], minify: true, write: false, target: ["chrome123", "firefox121", "safari17.5"],
  });
  await build({
    ...options,
    entryPoints: [join(here, "src", "widget.ts")],
    outdir: page,
    minify: true,
    target: ["chrome123", "firefox121", "safari17.5"],
    define: { STUDIO_CSS: JSON.stringify(outputFiles[0].text) },
    banner: { js: mark },
  });
  const runtime = join(here, "node_modules", "onnxruntime-web", "dist", "ort-wasm-simd-threaded");
  writeFileSync(join(page, "ort.mjs"), readFileSync(`${runtime}.mjs`));
  // Compressed here, so that every host sends as few bytes; the worker inflates it.
  writeFileSync(join(page, "ort.wasm.gz"), gzipSync(readFileSync(`${runtime}.wasm`), { level: 9 }));
  for (const name of ["index.html", "static.html", "manifest.webmanifest", "licenses.txt", "icon.svg"]) {
    writeFileSync(join(page, name), readFileSync(join(here, "src", name)));
  }
  // A project's page differs in what it is told of itself.
  const index = readFileSync(join(here, "src", "index.html"), "utf8");
  writeFileSync(join(page, "label.html"), index.replace('<html lang="en">', '<html lang="en" data-page="label">'));
  writeFileSync(join(page, "example.jpg"), readFileSync(join(here, "example.jpg")));
}
