// Each load of a page gets its live stream, every time: scripts that race each other lose now and then.
import assert from "node:assert/strict";
import { test } from "node:test";
import { visitor } from "../browser.mjs";
import { setStage } from "../stage.mjs";

const LOADS = 60;
const FIRST_VALUE_MS = 4_000;

const stage = setStage(async ({ site }) => {
  await site.account("ada");
});

test(`${LOADS} loads of a page, ${LOADS} live streams`, async () => {
  const { context, witness } = await visitor(stage);
  const dead = [];
  for (let load = 1; load <= LOADS; load += 1) {
    const page = await context.newPage();
    await page.goto("/authors/ada");
    await page.locator(".pulse").waitFor({ timeout: FIRST_VALUE_MS }).catch(() => dead.push(load));
    await page.close();
  }
  assert.deepEqual(dead, [], "loads that never got a live value");
  witness.assertSilent("loads");
});
