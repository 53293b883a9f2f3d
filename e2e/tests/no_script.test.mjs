// The whole of it without JavaScript: plain forms and links.
import assert from "node:assert/strict";
import { test } from "node:test";
import { edit, publish, remove, signIn, signOut, signUp } from "../author.mjs";
import { visitor } from "../browser.mjs";
import { setStage } from "../stage.mjs";

const stage = setStage();

test("an author signs up, writes, edits, is counted and found, deletes, leaves and returns", async () => {
  const { page } = await visitor(stage, { javaScriptEnabled: false });
  await signUp(page, "ada");

  await page.goto("/write");
  await page.getByLabel("Title").fill("On engines");
  await page.getByLabel("Text").fill("They *weave* numbers.");
  await page.getByRole("button", { name: "Preview" }).click();
  assert.equal(await page.getByRole("region", { name: "Preview" }).locator("em").textContent(), "weave");
  assert.equal(await page.getByLabel("Title").inputValue(), "On engines");

  const id = await publish(page, "On engines", "They *weave* numbers.\n\n<b>not bold</b>");
  assert.equal(await page.locator("em").textContent(), "weave");
  await page.getByText("<b>not bold</b>").waitFor();
  await stage.site.settled();
  await assertCount(page, "1 article");
  await search(page, "ENGINES weave");
  await page.getByRole("link", { name: "On engines", exact: true }).click();
  assert.equal(new URL(page.url()).pathname, `/articles/${id}`);

  await edit(page, id, "On looms", "They weave flowers.");
  await stage.site.settled();
  await search(page, "engines");
  await page.getByRole("heading", { name: "Nothing found" }).waitFor();

  await signOut(page);
  await page.goto("/write");
  assert.equal(await page.getByLabel("Password").count(), 1, "who is signed out is asked to sign in");
  await signIn(page, "ada");

  await remove(page, id);
  await stage.site.settled();
  await assertCount(page, "0 articles");
  assert.equal((await page.goto(`/articles/${id}`)).status(), 404);
});

async function assertCount(page, text) {
  await page.goto("/authors/ada");
  await page.getByText(text, { exact: true }).waitFor();
}

async function search(page, words) {
  await page.goto("/");
  await page.getByRole("searchbox").fill(words);
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/search\?/);
}
