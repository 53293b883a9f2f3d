// Debian's Chromium, and the visitors who use it: each a browser profile of its own, with a witness beside it.
import { createRequire } from "node:module";
import { readFile } from "node:fs/promises";
import { Witness } from "./witness.mjs";

// The packages live where the build does, beside no source file.
const modules = process.env.CONSIGN_E2E_MODULES ?? new URL("../target/e2e", import.meta.url).pathname;
const require = createRequire(`${modules}/`);
const { chromium } = require("playwright-core");

const EXECUTABLE = process.env.CONSIGN_CHROMIUM ?? "/usr/bin/chromium";
// Containers run as root, where Chromium has no sandbox; the other flags keep it from talking to anybody but the blog.
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--no-proxy-server",
];

/** How long a person would wait for a page or a button before giving up. */
const PATIENCE_MS = 10_000;

export const THEMES = ["light", "dark"];

/** Starts the browser. `flags` come on top of the usual ones. */
export function launch(flags = []) {
  return chromium.launch({ executablePath: EXECUTABLE, args: [...FLAGS, ...flags] });
}

/** Somebody new at the site: no cookies, one page open. */
export async function visitor({ browser, site }, options = {}) {
  const context = await browser.newContext({ baseURL: site.origin, ...options });
  context.setDefaultTimeout(PATIENCE_MS);
  const witness = await Witness.of(context, options.baseURL ?? site.origin);
  return { context, witness, page: await context.newPage() };
}

/** What axe finds wrong with the page as it is shown now. */
export async function violations(page) {
  await page.evaluate(await axe());
  return page.evaluate(async () => {
    const { violations } = await window.axe.run();
    return violations.map(({ id, impact, nodes }) => `${id} (${impact}): ${nodes.map((node) => node.html).join(" ")}`);
  });
}

let source;

function axe() {
  source ??= readFile(require.resolve("axe-core/axe.min.js"), "utf8");
  return source;
}
