// What an author does on the site, by the words on its labels and buttons.
import assert from "node:assert/strict";
import { PASSWORD } from "./site.mjs";

export async function signUp(page, name) {
  await page.goto("/sign-up");
  await fillIn(page, name, "Sign up");
}

export async function signIn(page, name) {
  await page.goto("/sign-in");
  await fillIn(page, name, "Sign in");
}

async function fillIn(page, name, button) {
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("main").getByRole("button", { name: button }).click();
  await signOutButton(page).waitFor();
}

export async function signOut(page) {
  await signOutButton(page).click();
  await page.getByRole("link", { name: "Sign in" }).first().waitFor();
}

export function signOutButton(page) {
  return page.getByRole("button", { name: "Sign out" });
}

/** Publishes an article and answers its id. */
export async function publish(page, title, text) {
  await page.goto("/write");
  await submit(page, title, text, "Publish");
  return idOf(page);
}

export async function edit(page, id, title, text) {
  await page.goto(`/articles/${id}`);
  await page.getByRole("link", { name: "Edit" }).click();
  await submit(page, title, text, "Save");
  assert.equal(idOf(page), id, "an edited article keeps its address");
}

export async function remove(page, id) {
  await page.goto(`/articles/${id}`);
  await page.getByRole("link", { name: "Delete" }).click();
  await page.getByRole("button", { name: "Delete the article" }).click();
  await page.waitForURL((url) => !url.pathname.endsWith("/delete"));
}

async function submit(page, title, text, button) {
  await page.getByLabel("Title").fill(title);
  await page.getByLabel("Text").fill(text);
  await page.getByRole("button", { name: button }).click();
  await page.getByRole("heading", { name: title, level: 1, exact: true }).waitFor();
}

function idOf(page) {
  const [, id] = new URL(page.url()).pathname.match(/^\/articles\/(\d+)$/) ?? [];
  assert.ok(id, `an article is shown at ${page.url()}`);
  return Number(id);
}
