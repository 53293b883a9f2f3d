// A blog of its own for a test file: the real program, on a free port, over an empty data directory.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "./eventually.mjs";

const PROGRAM = process.env.CONSIGN_BLOG_BIN ?? new URL("../target/debug/blog", import.meta.url).pathname;
const READY_MS = 60_000;
const STOPPED_MS = 10_000;
const OUTPUT_KEPT = 8_192;

export const PASSWORD = "a sentence is a good password";

export class Site {
  /** Starts a blog and waits until it serves its first page. */
  static async start() {
    const site = new Site(await freePort(), await mkdtemp(join(tmpdir(), "consign-e2e-")));
    await site.run();
    return site;
  }

  constructor(port, data) {
    this.port = port;
    this.data = data;
    this.output = "";
    this.origin = `http://127.0.0.1:${port}`;
  }

  /** Ends the blog and starts it again on the same port, over what it has stored. */
  async restart() {
    await this.end();
    await this.run();
  }

  /** Asks the blog to stop, and removes what it has stored. */
  async stop() {
    await this.end().finally(() => rm(this.data, { recursive: true, force: true }));
  }

  async run() {
    this.spawn();
    try {
      await eventually(READY_MS, "GET / answers 200", () => this.isReady());
    } catch (error) {
      await this.stop().catch(() => {});
      throw new Error(`the blog does not start; it printed:\n${this.output}`, { cause: error });
    }
  }

  spawn() {
    const flags = ["--listen", `127.0.0.1:${this.port}`, "--data", this.data];
    this.process = spawn(PROGRAM, flags, { stdio: ["ignore", "pipe", "pipe"] });
    this.ended = once(this.process, "exit");
    this.ended.catch((error) => (this.output += error));
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream.setEncoding("utf8").on("data", (text) => {
        this.output = (this.output + text).slice(-OUTPUT_KEPT);
      });
    }
  }

  /** Asks the blog to stop, as its operator would, and checks that it does so in time. */
  async end() {
    this.process.kill("SIGTERM");
    const overdue = setTimeout(() => this.process.kill("SIGKILL"), STOPPED_MS);
    const [code, signal] = await this.ended.finally(() => clearTimeout(overdue));
    assert.equal(signal ?? code, 0, `the blog did not stop cleanly; it printed:\n${this.output}`);
  }

  url(path) {
    return this.origin + path;
  }

  async isReady() {
    if (this.process.pid === undefined || this.process.exitCode !== null) throw new Error("the blog ended");
    const answer = await fetch(this.url("/"), { signal: AbortSignal.timeout(READY_MS) }).catch(() => null);
    return answer?.status === 200;
  }

  /** An account made through the API; answers its token. */
  async account(name) {
    await this.send("POST", "/api/accounts", { name, password: PASSWORD });
    const { token } = await this.send("POST", "/api/sessions", { name, password: PASSWORD });
    return token;
  }

  /** An article published through the API; answers its id. */
  async article(token, title, body) {
    const { id } = await this.send("POST", "/api/articles", { title, body }, token);
    return id;
  }

  async send(method, path, body, token) {
    const headers = { "Content-Type": "application/json" };
    if (token) headers.Authorization = `Bearer ${token}`;
    const answer = await fetch(this.url(path), { method, headers, body: JSON.stringify(body) });
    const text = await answer.text();
    assert.ok(answer.ok, `${method} ${path} answered ${answer.status}: ${text}`);
    return text === "" ? null : JSON.parse(text);
  }

  /** Waits until every effect of what was answered so far has landed. */
  async settled() {
    await eventually(READY_MS, "the workers have caught up", async () => {
      const { subscriptions } = await this.send("GET", "/api/audit");
      return subscriptions.length >= 2 && subscriptions.every(({ lag }) => lag === 0);
    });
  }
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}
