// Who is signed in stands in a cookie: one form on plain http to this machine, another on https, and neither passes as the other.
import assert from "node:assert/strict";
import { request } from "node:http";
import { test } from "node:test";
import { publish, signIn, signOut, signUp } from "../author.mjs";
import { visitor } from "../browser.mjs";
import { FLAGS, HOST, behindHttps } from "../https.mjs";
import { setStage } from "../stage.mjs";

const PLAIN = "session";
const SECURE = "__Host-session";

let origin, token;
const stage = setStage(async ({ site }) => {
  origin = await behindHttps(site);
  token = await site.account("ada");
}, FLAGS);

test("on plain http to this machine", async () => {
  const { page, context } = await visitor(stage);
  await signIn(page, "ada");
  const cookie = await sessionCookie(context);
  assert.deepEqual(properties(cookie), { name: PLAIN, secure: false, ...COMMON, domain: "127.0.0.1" });
  await signOut(page);
  assert.equal(await sessionCookie(context), undefined);
  assert.ok(!(await isSignedIn(`127.0.0.1:${stage.site.port}`, PLAIN, cookie.value)), "a token lives after its sign-out");
});

test("on https", async () => {
  const { page, context, witness } = await visitor(stage, {
    baseURL: origin,
    ignoreHTTPSErrors: true,
  });
  await signUp(page, "grace");
  const cookie = await sessionCookie(context);
  assert.deepEqual(properties(cookie), { name: SECURE, secure: true, ...COMMON, domain: HOST });
  await publish(page, "Behind a proxy", "It works.");
  await page.goto("/authors/grace");
  await page.getByText("1 article", { exact: true }).waitFor();
  await signOut(page);
  assert.equal(await sessionCookie(context), undefined);
  witness.assertSilent("https");
});

test("neither form is read as the other", async () => {
  const loopback = `127.0.0.1:${stage.site.port}`;
  assert.ok(await isSignedIn(loopback, PLAIN, token));
  assert.ok(!(await isSignedIn(loopback, SECURE, token)));
  assert.ok(await isSignedIn(HOST, SECURE, token));
  assert.ok(!(await isSignedIn(HOST, PLAIN, token)));
});

const COMMON = { httpOnly: true, sameSite: "Lax", path: "/" };

function properties({ name, secure, httpOnly, sameSite, path, domain }) {
  return { name, secure, httpOnly, sameSite, path, domain };
}

async function sessionCookie(context) {
  const cookies = await context.cookies();
  return cookies.find(({ name }) => [PLAIN, SECURE].includes(name));
}

/** Whether the front page, asked under the name of `host`, takes the cookie for somebody's. */
function isSignedIn(host, name, value) {
  const options = { host: "127.0.0.1", port: stage.site.port, path: "/", headers: { Host: host, Cookie: `${name}=${value}` } };
  return new Promise((resolve, reject) => {
    const asked = request(options, async (answer) => {
      let text = "";
      for await (const part of answer.setEncoding("utf8")) text += part;
      resolve(text.includes("Sign out"));
    });
    asked.on("error", reject).end();
  });
}
