// The blog behind https, as a proxy in front of it would serve it: for cookies that exist on https alone.
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A name that is nobody's; the browser is told that it is this machine. */
export const HOST = "blog.test";

export const FLAGS = [`--host-resolver-rules=MAP ${HOST} 127.0.0.1`];

/** Serves `site` on https, handing each request on as it came; answers its origin. */
export async function behindHttps(site) {
  const server = https.createServer(certificate(), (request, answer) => {
    const { method, url: path, headers } = request;
    const inner = http.request({ host: "127.0.0.1", port: site.port, method, path, headers }, (response) => {
      answer.writeHead(response.statusCode, response.rawHeaders);
      response.pipe(answer);
    });
    inner.on("error", () => answer.destroy());
    answer.on("close", () => inner.destroy());
    request.pipe(inner);
  });
  // It ends with the tests: an idle server does not keep Node from ending.
  server.listen(0, "127.0.0.1").unref();
  await once(server, "listening");
  return `https://${HOST}:${server.address().port}`;
}

/** Made for one run; the browser is told not to ask who signed it. */
function certificate() {
  const folder = mkdtempSync(join(tmpdir(), "consign-e2e-"));
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  const flags = ["req", "-x509", ...kind, "-subj", `/CN=${HOST}`, "-keyout", key, "-out", cert];
  execFileSync("openssl", flags, { stdio: "ignore" });
  const pair = { key: readFileSync(key), cert: readFileSync(cert) };
  rmSync(folder, { recursive: true });
  return pair;
}
