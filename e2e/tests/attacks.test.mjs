// Whatever an attacker writes is shown as text. The browser's content policy is off here: escaping alone must hold.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ATTACKS } from "../attacks.mjs";
import { signIn } from "../author.mjs";
import { visitor } from "../browser.mjs";
import { PASSWORD } from "../site.mjs";
import { setStage } from "../stage.mjs";

const NAME = "mallory";

const articles = [];
const stage = setStage(async ({ site }) => {
  const token = await site.account(NAME);
  for (const attack of ATTACKS) {
    const title = attack.replaceAll("\n", " ");
    articles.push({ attack, title, id: await site.article(token, title, `needle\n\n${attack}\n\n${attack}`) });
  }
  await site.settled();
});

test("in a title and a text", async () => {
  const { page, witness } = await unprotected();
  for (const { attack, title, id } of articles) {
    await page.goto(`/articles/${id}`);
    await assertInert(page, attack);
    assert.equal(await page.getByRole("heading", { level: 1 }).textContent(), title);
    for (const link of await page.getByText("press").all()) await link.hover();
  }
  witness.assertSilent("articles");
});

test("in a text that is edited again, and previewed", async () => {
  const { page, witness } = await unprotected();
  await signIn(page, NAME);
  for (const { attack, title, id } of articles) {
    await page.goto(`/articles/${id}/edit`);
    await assertInert(page, attack);
    assert.equal(await page.getByLabel("Title").inputValue(), title);
    assert.equal(await page.getByLabel("Text").inputValue(), `needle\n\n${attack}\n\n${attack}`);
    await page.getByRole("button", { name: "Preview" }).click();
    await page.getByRole("region", { name: "Preview" }).getByText("needle").waitFor();
    await assertInert(page, attack);
    await page.goto(`/articles/${id}/delete`);
    await assertInert(page, attack);
  }
  witness.assertSilent("forms");
});

test("in lists and in search results", async () => {
  const { page, witness } = await unprotected();
  const lists = ["/", `/authors/${NAME}`, "/search?q=needle", "/search?q=attacked", "/search?q=script"];
  for (const path of lists) {
    await page.goto(path);
    assert.ok(await page.getByRole("main").getByText("attacked").count(), `${path} shows attacks`);
    await assertInert(page, path);
  }
  witness.assertSilent("lists");
});

test("in what is searched for", async () => {
  const { page, witness } = await unprotected();
  for (const attack of ATTACKS) {
    const query = attack.replaceAll("\n", " ");
    await page.goto(`/search?q=${encodeURIComponent(query)}`);
    await assertInert(page, query);
    assert.equal(await page.getByRole("searchbox").inputValue(), query.trim());
  }
  witness.assertSilent("queries");
});

test("in a name, which is refused and shown again", async () => {
  const { page, witness } = await unprotected();
  for (const attack of ATTACKS) {
    const name = attack.replaceAll("\n", " ");
    await page.goto("/sign-up");
    await page.getByLabel("Password").fill(PASSWORD);
    // An attacker's browser does not check what it sends.
    const send = (form, value) => {
      form.elements.namedItem("name").value = value;
      form.submit();
    };
    await Promise.all([page.waitForEvent("load"), page.locator("main form").evaluate(send, name)]);
    await assertInert(page, attack);
    assert.equal(await page.getByLabel("Name").inputValue(), name);
  }
  await page.goto(`/authors/${encodeURIComponent(ATTACKS[0])}`);
  await assertInert(page, "an author's address");
  witness.assertSilent("names");
});

test("the policy alone would refuse them too", async () => {
  const { page, witness } = await visitor(stage);
  await page.goto("/");
  await page.evaluate(() => {
    const script = document.createElement("script");
    script.textContent = "window.attacked = 1";
    document.body.append(script);
    document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='window.attacked=1'>");
  });
  await page.waitForLoadState("load");
  assert.equal(await page.evaluate(() => window.attacked), undefined);
  assert.ok(witness.seen.length >= 2, "the browser says what it refused");
});

/** Somebody whose browser would run whatever got into a page. */
function unprotected() {
  return visitor(stage, { bypassCSP: true });
}

/** Nothing ran, and the page holds nothing that could still run. */
async function assertInert(page, attack) {
  const found = await page.evaluate(() => {
    const ours = new Set(["/", "/search", "/sign-in", "/sign-out", "/sign-up", "/write"]);
    const list = (selector) => [...document.querySelectorAll(selector)];
    const foreign = list("main :is(script, style, iframe, object, embed, svg, math, base, meta, link, img, noscript)");
    const handlers = list("*").filter((node) => node.getAttributeNames().some((name) => name.startsWith("on")));
    const prose = list(".prose *").filter((node) => node.getAttributeNames().some((name) => name.includes("hx-")));
    const links = list("a[href]").filter((node) => !["http:", "https:", "mailto:"].includes(node.protocol));
    const leadsAway = (action) => {
      const { origin, pathname } = new URL(action);
      return origin !== location.origin || !(ours.has(pathname) || /^\/articles\/\d+\/(edit|delete)$/.test(pathname));
    };
    const forms = list("form").filter((form) => leadsAway(form.action));
    const buttons = list("[formaction]").filter((button) => leadsAway(button.formAction));
    return {
      ran: window.attacked,
      nodes: [...foreign, ...handlers, ...prose, ...links, ...forms, ...buttons].map((node) => node.outerHTML.slice(0, 200)),
    };
  });
  assert.deepEqual(found, { ran: undefined, nodes: [] }, attack);
}
