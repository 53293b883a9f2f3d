// Every page, for a stranger and for an author: accessible in both themes, no wider than a phone, and silent.
import assert from "node:assert/strict";
import { test } from "node:test";
import { signIn } from "../author.mjs";
import { THEMES, violations, visitor } from "../browser.mjs";
import { WIDE_NAME, addresses, authorStates, furnish, states } from "../pages.mjs";
import { setStage } from "../stage.mjs";

const PHONE = { width: 360, height: 740 };

let articles;
const stage = setStage(async ({ site }) => {
  articles = await furnish(site);
});

for (const who of ["a stranger", "an author"]) {
  test(`every page that ${who} sees is accessible in light and in dark`, async () => {
    const { page } = await somebody(who);
    const found = [];
    for await (const where of everyPage(who, page)) {
      for (const colorScheme of THEMES) {
        await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
        for (const violation of await violations(page)) found.push(`${where}, ${colorScheme}: ${violation}`);
      }
    }
    assert.deepEqual(found, []);
  });

  test(`no page that ${who} sees scrolls sideways on a phone`, async () => {
    const { page } = await somebody(who, { viewport: PHONE });
    const found = [];
    for await (const where of everyPage(who, page)) {
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      if (width > PHONE.width) found.push(`${where} is ${width} px wide`);
    }
    assert.deepEqual(found, []);
  });

  test(`every page that ${who} sees is silent, its content policy never violated`, async () => {
    const { page, witness } = await somebody(who);
    for await (const where of everyPage(who, page)) {
      await page.waitForLoadState("load");
      witness.assertSilent(where);
    }
  });
}

test("every page carries the policy that its silence is measured by", async () => {
  for (const path of addresses(articles)) {
    const policy = (await fetch(stage.site.url(path))).headers.get("content-security-policy") ?? "";
    assert.match(policy, /default-src 'none'/, path);
    assert.match(policy, /script-src 'self'(;|$)/, path);
    assert.match(policy, /style-src 'self'(;|$)/, path);
    assert.match(policy, /frame-ancestors 'none'/, path);
  }
});

async function somebody(who, options) {
  const person = await visitor(stage, options);
  if (who === "an author") await signIn(person.page, WIDE_NAME);
  return person;
}

/** Brings `page` to one address or state after the other, and says which. */
async function* everyPage(who, page) {
  for (const path of addresses(articles)) {
    const answer = await page.goto(path);
    assert.ok(answer.status() < 500, `${path} answered ${answer.status()}`);
    await liveliness(page);
    yield path;
  }
  for (const [name, reach] of Object.entries(who === "an author" ? authorStates : states)) {
    await reach(page);
    yield name;
  }
}

/** A page that is to change by itself is looked at once it does. */
async function liveliness(page) {
  if (await page.locator("[hx-sse\\:connect]").count()) await page.locator(".pulse, .none").first().waitFor();
}
