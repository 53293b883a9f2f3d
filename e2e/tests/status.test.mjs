// The status page, open while processes end and begin.
import assert from "node:assert/strict";
import { test } from "node:test";
import { visitor } from "../browser.mjs";
import { setStage } from "../stage.mjs";

const stage = setStage();

test("an open status page names the processes that are there now", async () => {
  const { page, witness } = await visitor(stage);
  await page.goto("/status");
  await page.getByText("Everything that was published has been dealt with.").waitFor();
  await page.evaluate(() => {
    window.neverLoadedAgain = true;
  });
  const before = await processes(page);
  assert.deepEqual(before.map(({ length }) => length), [1, 2, 1], "counter, mailer and search");

  await stage.site.restart();
  await page.waitForFunction((gone) => !gone.some((id) => document.body.innerText.includes(id)), before.flat());
  await page.locator("#subscriptions", { hasText: /mailer.*idle.*\d+, \d+.*search/s }).waitFor();
  const after = await processes(page);
  assert.deepEqual(after.map(({ length }) => length), [1, 2, 1]);
  assert.ok(await page.evaluate(() => window.neverLoadedAgain));
  witness.assertSilent("/status");
});

test("the footer leads to the status", async () => {
  const { page } = await visitor(stage);
  await page.goto("/");
  await page.getByRole("contentinfo").getByRole("link", { name: "Status" }).click();
  await page.getByRole("heading", { name: "Status" }).waitFor();
  await page.getByRole("rowheader", { name: "mailer" }).waitFor();
  const names = page.getByRole("rowheader");
  assert.deepEqual(await names.allInnerTexts(), ["counter stream", "mailer queue", "search stream"]);
});

/** The ids of each subscription's processes, once all of them own something. */
async function processes(page) {
  await page.locator("#subscription-mailer", { hasText: /\d+, \d+/ }).waitFor();
  const cells = await page.locator('[data-of="Processes"]').allInnerTexts();
  return cells.map((text) => text.split(", "));
}
