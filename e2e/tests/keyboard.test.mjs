// An author who uses no mouse.
import assert from "node:assert/strict";
import { test } from "node:test";
import { signOutButton } from "../author.mjs";
import { visitor } from "../browser.mjs";
import { PASSWORD } from "../site.mjs";
import { setStage } from "../stage.mjs";

/** More stops than any page has before its main form. */
const STOPS_MAX = 40;

const stage = setStage(async ({ site }) => {
  await site.account("ada");
});

test("signing in, publishing and searching need a keyboard only", async () => {
  const { page, witness } = await visitor(stage);
  await page.goto("/");
  await press(page, page.getByRole("link", { name: "Sign in" }).first());

  await type(page, page.getByLabel("Name"), "ada");
  await type(page, page.getByLabel("Password"), PASSWORD);
  await page.keyboard.press("Enter");
  await signOutButton(page).waitFor();

  await press(page, page.getByRole("link", { name: "Write", exact: true }));
  await type(page, page.getByLabel("Title"), "Without a mouse");
  await type(page, page.getByLabel("Text"), "Only keys.");
  await press(page, page.getByRole("button", { name: "Publish" }));
  await page.getByRole("heading", { name: "Without a mouse", level: 1 }).waitFor();

  await type(page, page.getByRole("searchbox"), "mouse");
  await page.keyboard.press("Enter");
  await page.getByRole("link", { name: "Without a mouse", exact: true }).waitFor();
  witness.assertSilent("keyboard");
});

test("the first stop of a page leads past its header", async () => {
  const { page } = await visitor(stage);
  await page.goto("/");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  const isInMain = () => document.activeElement.closest("main") !== null;
  assert.ok(await page.evaluate(isInMain), "the content has the focus");
});

async function press(page, target) {
  await reach(page, target);
  await page.keyboard.press("Enter");
}

async function type(page, target, text) {
  await reach(page, target);
  await page.keyboard.type(text);
}

/** Goes from stop to stop until `target` has the focus; each stop on the way shows that it has it. */
async function reach(page, target) {
  await target.waitFor();
  for (let stop = 0; stop < STOPS_MAX; stop += 1) {
    await page.keyboard.press("Tab");
    const hasFocus = await target.evaluate((node) => node === document.activeElement);
    assert.ok(await page.evaluate(showsFocus), "a stop that has the focus does not show it");
    if (hasFocus) return;
  }
  assert.fail(`not reached in ${STOPS_MAX} stops: ${target}`);
}

function showsFocus() {
  const node = document.activeElement;
  if (node === null || node === document.body) return true;
  const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(node);
  return (outlineStyle !== "none" && parseFloat(outlineWidth) >= 1) || boxShadow !== "none";
}
