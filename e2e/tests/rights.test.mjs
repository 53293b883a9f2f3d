// Somebody else's article is not theirs to change, whichever way they try.
import assert from "node:assert/strict";
import { test } from "node:test";
import { publish, signUp } from "../author.mjs";
import { visitor } from "../browser.mjs";
import { setStage } from "../stage.mjs";

const FOREIGN_ORIGIN = "https://attacker.example";

let owner, id;
const stage = setStage(async (stage) => {
  owner = await visitor(stage);
  await signUp(owner.page, "owner");
  id = await publish(owner.page, "Mine", "And mine alone.");
});

test("another author is offered no way to change it, and finds none", async () => {
  const { page, context } = await visitor(stage);
  await signUp(page, "other");
  await page.goto(`/articles/${id}`);
  for (const name of ["Edit", "Delete"]) {
    assert.equal(await page.getByRole("main").getByRole("link", { name }).count(), 0, name);
  }
  for (const path of [`/articles/${id}/edit`, `/articles/${id}/delete`]) {
    assert.ok([403, 404].includes((await page.goto(path)).status()), path);
    const form = { title: "Taken", body: "Taken over." };
    const answer = await context.request.post(path, { form, headers: { Origin: stage.site.origin } });
    assert.ok([403, 404].includes(answer.status()), `POST ${path} answered ${answer.status()}`);
  }
  await assertUntouched();
});

test("a stranger is asked to sign in", async () => {
  const { page, context } = await visitor(stage);
  for (const path of ["/write", `/articles/${id}/edit`, `/articles/${id}/delete`]) {
    await page.goto(path);
    await page.getByRole("main").getByLabel("Password").waitFor();
  }
  await context.request.post(`/articles/${id}/delete`, { form: {}, headers: { Origin: stage.site.origin } });
  await assertUntouched();
});

test("another site cannot act for an author who is signed in", async () => {
  const routes = [`/articles/${id}/edit`, `/articles/${id}/delete`, "/articles", "/write", "/sign-out"];
  for (const path of routes) {
    const form = { title: "Taken", body: "Taken over." };
    for (const headers of [{ Origin: FOREIGN_ORIGIN }, { Origin: "null" }, { "Sec-Fetch-Site": "cross-site" }]) {
      const answer = await owner.context.request.post(path, { form, headers, maxRedirects: 0 });
      assert.ok([403, 404, 405].includes(answer.status()), `POST ${path} answered ${answer.status()}`);
    }
  }
  await assertUntouched();
  await owner.page.goto("/");
  await owner.page.getByRole("button", { name: "Sign out" }).waitFor();
});

async function assertUntouched() {
  const article = await stage.site.send("GET", `/api/articles/${id}`);
  assert.deepEqual([article.title, article.body, article.author], ["Mine", "And mine alone.", "owner"]);
}
