// An author writes; what others have open changes by itself, once the workers have done their part.
import assert from "node:assert/strict";
import { test } from "node:test";
import { edit, publish, remove, signUp } from "../author.mjs";
import { visitor } from "../browser.mjs";
import { setStage } from "../stage.mjs";

const stage = setStage();

test("the count and the search on open pages follow what an author does", async () => {
  const author = await visitor(stage);
  await signUp(author.page, "ada");
  const counts = await open("/authors/ada");
  const engines = await open("/search?q=engines");
  const looms = await open("/search?q=looms");
  await count(counts, "0 articles").waitFor();
  await nothing(engines).waitFor();

  const id = await publish(author.page, "On engines", "They *weave* numbers.");
  await count(counts, "1 article").waitFor();
  await found(engines, "On engines").waitFor();

  await edit(author.page, id, "On looms", "They weave flowers.");
  await found(looms, "On looms").waitFor();
  await nothing(engines).waitFor();
  await count(counts, "1 article").waitFor();

  await publish(author.page, "On engines again", "They come back.");
  await count(counts, "2 articles").waitFor();
  await found(engines, "On engines again").waitFor();

  await remove(author.page, id);
  await count(counts, "1 article").waitFor();
  await nothing(looms).waitFor();

  for (const { page, witness } of [author, counts, engines, looms]) witness.assertSilent(page.url());
  for (const reader of [counts, engines, looms]) await assertNeverLoadedAgain(reader);
});

test("the count on an article's own page follows too", async () => {
  const author = await visitor(stage);
  await signUp(author.page, "grace");
  const id = await publish(author.page, "On compilers", "They read.");
  const reader = await open(`/articles/${id}`);
  await count(reader, "1 article").waitFor();
  await publish(author.page, "On debuggers", "They find moths.");
  await count(reader, "2 articles").waitFor();
  reader.witness.assertSilent(reader.page.url());
});

test("an author is told when the search knows what was published", async () => {
  const { page, witness } = await visitor(stage);
  await signUp(page, "joan");
  await publish(page, "On code books", "They were burnt.");
  await page.getByRole("status").getByText("search knows it now").waitFor();
  witness.assertSilent(page.url());
});

test("open pages go on after the blog was stopped and started again", async () => {
  const author = await visitor(stage);
  await signUp(author.page, "edith");
  const counts = await open("/authors/edith");
  await count(counts, "0 articles").waitFor();
  await stage.site.restart();
  await publish(author.page, "On returning", "It is all there.");
  await count(counts, "1 article").waitFor();
  await assertNeverLoadedAgain(counts);
});

/** Somebody else's open page, marked, so that loading it again would show. */
async function open(path) {
  const reader = await visitor(stage);
  await reader.page.goto(path);
  await reader.page.evaluate(() => {
    window.neverLoadedAgain = true;
  });
  return reader;
}

async function assertNeverLoadedAgain({ page }) {
  assert.ok(await page.evaluate(() => window.neverLoadedAgain), `${page.url()} was loaded again`);
}

function count({ page }, text) {
  return page.getByText(text, { exact: true });
}

function found({ page }, title) {
  return page.getByRole("link", { name: title, exact: true });
}

function nothing({ page }) {
  return page.getByRole("heading", { name: "Nothing found" });
}
